"""What is known again by what is said of it: things that a server gives ids of its own, untagged.

Few of each, so that all are held in memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import source_tags
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlporter.plan.side_reader import Reader

    Ids = dict[str, dict[str, str]]
    Said = tuple[object, ...]

__all__ = ["by_natural_keys", "by_natural_keys_anywhere", "tagged"]


@dataclass(frozen=True)
class _Known:
    """How the rows of a table are known again.

    Attributes:
        table: Its name.
        column: Their id.
        said: Columns that say what they are.
        refers: Columns among them that hold ids of another table's rows.
        more: Columns that tell several apart of which the same is said.
        below: A table and its columns whose rows tell them apart as well.
    """

    table: str
    column: str
    said: tuple[str, ...]
    refers: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    below: tuple[str, tuple[str, ...]] | None = None


_IN_EXPERIMENTS = (
    _Known(
        "issues",
        "issue_id",
        ("experiment_id", "name", "description"),
        more=("status", "severity", "created_by"),
    ),
    _Known("label_schemas", "schema_id", ("experiment_id", "name")),
    _Known("review_queues", "queue_id", ("experiment_id", "name_key")),
    _Known("scorers", "scorer_id", ("experiment_id", "scorer_name")),
    _Known(
        "online_scoring_configs",
        "online_scoring_config_id",
        ("scorer_id",),
        {"scorer_id": "scorers"},
    ),
)
_ANYWHERE = (
    _Known(
        "webhooks",
        "webhook_id",
        ("workspace", "name", "url"),
        more=("description", "status", "deleted_timestamp"),
        below=("webhook_events", ("entity", "action")),
    ),
    _Known("model_definitions", "model_definition_id", ("workspace", "name")),
    _Known("endpoints", "endpoint_id", ("workspace", "name")),
    _Known(
        "endpoint_model_mappings",
        "mapping_id",
        ("endpoint_id", "model_definition_id", "linkage_type"),
        {"endpoint_id": "endpoints", "model_definition_id": "model_definitions"},
    ),
    _Known(
        "budget_policies",
        "budget_policy_id",
        ("workspace", "budget_unit", "budget_amount", "duration_unit", "duration_value",
         "target_scope", "target_value", "budget_action"),
        {"target_value": "endpoints"},
    ),
    _Known(
        "guardrails",
        "guardrail_id",
        ("workspace", "name", "scorer_id", "scorer_version", "stage", "action",
         "action_endpoint_id"),
        {"scorer_id": "scorers", "action_endpoint_id": "endpoints"},
    ),
    _Known(
        "mcp_access_endpoints",
        "id",
        ("workspace", "server_name", "server_version", "server_alias", "url", "transport_type"),
    ),
)  # fmt: skip
"""In an order in which what is referred to comes before."""


def by_natural_keys(left: Reader, right: Reader, number_of: Callable[[int], int | None]) -> Ids:
    """By table, the right side's ids of what is known again in its experiment.

    Args:
        left: One side.
        right: The other; asked only for what the left side has.
        number_of: The right side's id of an experiment of the left side.
    """
    found = _alike(_IN_EXPERIMENTS, left, right, {"experiment_id": number_of}, {})
    return found | _records(left, right)


def by_natural_keys_anywhere(
    left: Reader, right: Reader, workspace_of: Callable[[str], str], scorers: Mapping[str, str]
) -> Ids:
    """By table, the right side's ids of what is known again in its workspace.

    Args:
        left: One side.
        right: The other; asked only for what the left side has.
        workspace_of: The right side's name of a workspace of the left side.
        scorers: The right side's ids of scorers.
    """
    return _alike(_ANYWHERE, left, right, {"workspace": workspace_of}, {"scorers": scorers})


def _alike(
    tables: tuple[_Known, ...],
    left: Reader,
    right: Reader,
    seen_as: Mapping[str, Callable[..., object]],
    ids: Mapping[str, Mapping[str, str]],
) -> Ids:
    found: Ids = {}
    for known in tables:
        refers = {column: {**found, **ids}.get(table, {}) for column, table in known.refers.items()}
        by_id = {column: _changing(changed) for column, changed in refers.items()}
        changes: Mapping[str, Callable[..., object]] = {**by_id, **seen_as}
        mine = list(_said(left, known, changes))
        there = list(_said(right, known, {})) if mine else []
        found[known.table] = _paired(mine, there)
    return found


def _changing(changed: Mapping[str, str]) -> Callable[[str], str]:
    return lambda id_: changed.get(id_, id_)


def _said(
    reader: Reader, known: _Known, changes: Mapping[str, Callable[..., object]]
) -> Iterator[tuple[str, Said, Said]]:
    """Ids, what they are known by, and what distinguishes them from others known by the same."""
    below = _below(reader, known)
    columns = (known.column, *known.said, *known.more)
    for id_, *values in rows_of(reader, known.table, columns):
        seen = [
            changes[column](value) if column in changes and value is not None else value
            for column, value in zip(columns[1:], values, strict=True)
        ]
        told = tuple(None if value == "" else value for value in seen)
        said, more = told[: len(known.said)], told[len(known.said) :]
        yield id_, said, (*more, *sorted(below.get(id_, ())))


def _below(reader: Reader, known: _Known) -> dict[str, list[Said]]:
    if known.below is None:
        return {}
    table, columns = known.below
    found: dict[str, list[Said]] = {}
    for id_, *values in rows_of(reader, table, (known.column, *columns)):
        found.setdefault(id_, []).append(tuple(values))
    return found


def _paired(
    mine: list[tuple[str, Said, Said]], there: list[tuple[str, Said, Said]]
) -> dict[str, str]:
    """Which is which: those that are alike in everything first, the others in their order."""
    exact = _numbered((id_, (*said, more)) for id_, said, more in there)
    found = {
        id_: exact[key]
        for key, id_ in _numbered((id_, (*said, more)) for id_, said, more in mine).items()
        if key in exact
    }
    taken = set(found.values())
    rest = _numbered((id_, said) for id_, said, _ in there if id_ not in taken)
    left = _numbered((id_, said) for id_, said, _ in mine if id_ not in found)
    return found | {id_: rest[key] for key, id_ in left.items() if key in rest}


def _numbered(ids: Iterable[tuple[str, Said]]) -> dict[tuple[Said, int], str]:
    """By what is said, and which one it is of several of which the same is said."""
    seen: Counter[Said] = Counter()
    found: dict[tuple[Said, int], str] = {}
    for id_, said in ids:
        found[said, seen[said]] = id_
        seen[said] += 1
    return found


def _records(left: Reader, right: Reader) -> Ids:
    """Records of evaluation datasets, by their datasets and inputs."""
    table, columns = "evaluation_dataset_records", ("dataset_record_id", "dataset_id", "input_hash")
    mine = list(rows_of(left, table, columns))
    if not mine:
        return {table: {}}
    origin = dict(tagged(right, "evaluation_dataset_tags", "dataset_id", source_tags.DATASET))
    there = {
        (origin.get(dataset, dataset), digest): id_
        for id_, dataset, digest in rows_of(right, table, columns)
    }
    origin = dict(tagged(left, "evaluation_dataset_tags", "dataset_id", source_tags.DATASET))
    pairs = ((id_, there.get((origin.get(data, data), digest))) for id_, data, digest in mine)
    return {table: {id_: other for id_, other in pairs if other is not None}}


def tagged(reader: Reader, table: str, column: str, key: str) -> Iterator[tuple[str, str]]:
    """Whose tag of some key has which value."""
    entry = next((entry for entry in reader.tables if entry.name == table), None)
    if entry is None:
        return
    name = source_tags.TAG_TABLES[table]
    among = Among(name, (key,))
    for batch in reader.read(table, (column, name.replace("key", "value")), among):
        yield from python_rows(batch)
