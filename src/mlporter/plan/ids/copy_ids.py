"""Copies under new ids: which ids they get, and which of them an earlier import made.

The new id of a thing is made from its old one, so that a second import finds the copy again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.compare.report import ONLY_RIGHT
from mlporter.compare.rows.streams import compare_streams
from mlporter.plan.ids.id_columns import ID_COLUMNS
from mlporter.plan.ids.id_map import IdMap, fresh_id, keeps_order
from mlporter.plan.ids.mapped_rows import MappedReader, edge_owner
from mlporter.plan.side_reader import read_units, unit_keys
from mlporter.plan.units import KEY_OF, OWNED, Choice, Chosen, key_array, key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlporter.compare.report import Difference
    from mlporter.plan.side_reader import Reader

__all__ = ["CHILD_IDS", "Copies"]

CHILD_IDS = {
    "assessments": "trace_info",
    "evaluation_dataset_records": "evaluation_datasets",
    "online_scoring_configs": "scorers",
}
"""Rows below a unit that have an id of their own, which nothing else in the target may have."""

_FEW = 1_000
"""Up to so many units, the target is asked for the copies of each."""


class Copies:
    """New ids of things of the source, and of the rows below them.

    Args:
        source: What is copied.
        target: What is there.
        tables: The tables that are copied.
        salt: What the id of something in an experiment is made from, besides the old one.
    """

    def __init__(
        self,
        source: Reader,
        target: Reader,
        tables: Iterable[str],
        salt: Callable[[int | None], str],
    ) -> None:
        self._source = source
        self._target = target
        self._tables = frozenset(tables)
        self._salt = salt

    def ids(self, entity: str, units: Mapping[str, int | None]) -> dict[str, str]:
        """The ids that copies of units get, by the source's; `units` name their experiments."""
        cap = _cap(entity)
        return {
            key: fresh_id(key, f"{entity}/{self._salt(experiment)}", cap)
            for key, experiment in units.items()
        }

    def found(self, entity: str, count: int) -> dict[str, str]:
        """Copies that the target has of units that both sides have: original by copy.

        What the source has itself under the id of a copy is none.

        Args:
            entity: The kind of these units.
            count: How many the source has.
        """
        if any(entity not in {t.name for t in one.tables} for one in (self._source, self._target)):
            return {}
        made: dict[str, str] = {}
        others = None if count <= _FEW else self._others(entity)
        if others is None or others:
            for units in self._units(entity):
                copies = self.ids(entity, units).items()
                made |= {new: old for old, new in copies if others is None or new in others}
        if made and others is None:
            there = unit_keys(self._target, entity, set(made))
            mine = unit_keys(self._source, entity, set(there))
            made = {new: old for new, old in made.items() if new in there and new not in mine}
        both = unit_keys(self._target, entity, set(made.values())) if made else {}
        return {new: old for new, old in made.items() if old in both}

    def _units(self, entity: str) -> Iterator[dict[str, int | None]]:
        """The source's units with their experiments, some at a time."""
        key = KEY_OF[entity]
        entry = next(table for table in self._source.tables if table.name == entity)
        placed = "experiment_id" in entry.by_name
        for batch in self._source.read(entity, (*key, "experiment_id") if placed else key):
            homes = batch.column("experiment_id").to_pylist() if placed else [None] * len(batch)
            yield dict(zip(key_array(batch, key).to_pylist(), homes, strict=True))

    def _others(self, entity: str) -> set[str]:
        """What the target has of a kind and the source has not: one of these may be a copy."""
        key = KEY_OF[entity]
        found: set[str] = set()

        def note(difference: Difference) -> None:
            if difference.sigil == ONLY_RIGHT:
                found.add(key_text(difference.key[name] for name in key))

        keys = BY_NAME[entity].only(frozenset(key))
        mine, theirs = self._source.read(entity, key), self._target.read(entity, key)
        compare_streams(keys, mine, theirs, note)
        return found

    def add_back(self, entity: str, originals: dict[str, str], back: IdMap) -> None:
        """Let a map from copies to originals know of some, and of the rows below them."""
        if not originals:
            return
        back.ids[entity] = originals
        if keeps_order(originals, set()):
            back.ordered.add(entity)
        copies = {old: new for new, old in originals.items()}
        for table, children in self.below(entity, copies).items():
            back.ids[table] = {new: old for old, new in children.items()}

    def below(self, entity: str, copies: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """New ids for the rows below copies that have ids of their own, by table."""
        found = {}
        chosen = MappedReader(self._source, IdMap(), Choice({entity: Chosen(frozenset(copies))}))
        for table in self._children(entity):
            rows = _child_rows(table, chosen)
            found[table] = {c: fresh_id(c, copies[p], _cap(table)) for c, p in rows}
        if entity == "runs" and "inputs" in self._tables:
            found["inputs"] = {c: fresh_id(c, copies[p], 36) for c, p in _edge_rows(chosen)}
        return found

    def taken(self, entity: str) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
        """Rows below units whose id the target has below another unit.

        Yields:
            A table; of each such row the unit; and its new id.
        """
        for table in self._children(entity):
            (key,), owner = BY_NAME[table].key, OWNED[table].columns
            mine = dict(_child_rows(table, self._source))
            there: dict[str, str] = {}
            for batch in read_units(self._target, table, (key, *owner), (key,), set(mine)):
                parents = key_array(batch, owner).to_pylist()
                there.update(zip(batch.column(key).to_pylist(), parents, strict=True))
            found = {child: mine[child] for child, parent in there.items() if parent != mine[child]}
            if found:
                cap = _cap(table)
                yield table, found, {child: fresh_id(child, p, cap) for child, p in found.items()}

    def _children(self, entity: str) -> list[str]:
        return [t for t, owner in CHILD_IDS.items() if owner == entity and t in self._tables]


def _child_rows(table: str, source: Reader) -> Iterator[tuple[str, str]]:
    """The id of each row of a table, and the key of the unit that it belongs to."""
    (key,), owner = BY_NAME[table].key, OWNED[table].columns
    for batch in source.read(table, (key, *owner)):
        parents = key_array(batch, owner).to_pylist()
        yield from zip(batch.column(key).to_pylist(), parents, strict=True)


def _edge_rows(source: Reader) -> Iterator[tuple[str, str]]:
    """The id of each input, and its run."""
    column = ID_COLUMNS["inputs"]
    for batch in source.read("inputs", (*BY_NAME["inputs"].key, column)):
        yield from zip(batch.column(column).to_pylist(), edge_owner(batch).to_pylist(), strict=True)


def _cap(table: str) -> int:
    """The longest id that a table's rows may have, in characters."""
    column = BY_NAME[table].by_name[BY_NAME[table].key[0]]
    return column.cap or 36
