"""Datasets and what connects them to runs: matched by what they are, and not by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.plan.ids.id_map import fresh_id
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.side_reader import datasets_of
from mlporter.plan.units import key_array, key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.side_reader import Reader
    from mlporter.stores.protocols import Source

__all__ = ["match_datasets", "match_edges"]


def match_datasets(
    source: Source, target: Reader, ids: IdMap, salt: Callable[[int], str]
) -> frozenset[str]:
    """Match by experiment, name and digest; the ids of those that are there are used.

    Returns:
        The keys of those that are there, and so are not copied.
    """
    there = {(d.experiment, d.name, d.digest): d.uuid for d in datasets_of(target)}
    taken = set(there.values())
    dropped, changed = [], {}
    for one in datasets_of(source):
        key = (ids.experiment(one.experiment), one.name, one.digest)
        if key in there:
            dropped.append(key_text(key))
            if there[key] != one.uuid:
                changed[one.uuid] = there[key]
        elif one.uuid in taken:
            changed[one.uuid] = fresh_id(one.uuid, salt(one.experiment), 36)
    if changed:
        ids.ids["datasets"] = changed
    return frozenset(dropped)


def match_edges(source: Source, target: Reader, ids: IdMap) -> None:
    """Call edges as the target calls them, where the source could not tell their ids."""
    mine = _edge_ids(MappedReader(source, ids))
    there = _edge_ids(target, frozenset(mine))
    ids.change("inputs", {mine[key]: uuid for key, uuid in there.items()})


def _edge_ids(reader: Reader, keys: Container[str] | None = None) -> dict[str, str]:
    """The id of each input, by what it connects."""
    key = BY_NAME["inputs"].key
    found: dict[str, str] = {}
    for batch in reader.read("inputs", (*key, "input_uuid")):
        edges = key_array(batch, key).to_pylist()
        found.update(zip(edges, batch.column("input_uuid").to_pylist(), strict=True))
    return found if keys is None else {k: v for k, v in found.items() if k in keys}
