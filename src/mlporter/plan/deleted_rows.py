"""What a target has deleted, marked as deleted, or left over of what it purged.

MLflow deletes in three ways. A run, an experiment or a logged model is *marked* (``mlflow runs
restore`` takes it back) until ``mlflow gc`` purges it. A model version becomes a *tombstone*: its
row stays, in the stage ``Deleted_Internal``, without source, run, description and user, so that
its number is not given again. A trace or a registered model is deleted at once. What is purged
takes along whatever hangs on it by a foreign key, and leaves rows of ``inputs`` and
``input_tags`` behind, which have none (``mlflow.cli.gc``, ``SqlAlchemyStore._hard_delete_run``).

Rows that are left over of dead things are nobody's: they are neither compared nor a conflict, and
give way to those of the thing that comes back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import BY_NAME
from mlporter.compare.report import DIFFER, ONLY_LEFT
from mlporter.compare.version_places import OWN_FILES
from mlporter.plan.ids.id_columns import IdColumn, id_columns
from mlporter.plan.ids.mapped_rows import edge_owner
from mlporter.plan.side_reader import read_units
from mlporter.plan.units import (
    ENTITIES,
    EXPERIMENTS,
    KEY_OF,
    MODELS,
    OWNED,
    ROWWISE,
    Owned,
    is_among,
    key_array,
    key_text,
    tables_of,
)
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from mlporter.compare.report import Difference
    from mlporter.plan.side_reader import Reader

__all__ = [
    "DELETED_TIME",
    "LIFECYCLE",
    "Key",
    "Leftover",
    "Link",
    "Lost",
    "Update",
    "asked",
    "how_to_restore",
    "is_time_of_deletion",
    "is_undeletion",
    "leftovers",
    "marked",
    "tombstones",
    "undeletion",
]

Key = tuple[object, ...]
"""The values of a row's key columns."""

_STAGE = "lifecycle_stage"
DELETED_TIME = "deleted_time"
"""When a run was deleted: where both sides deleted it, each did so at a time of its own."""

LIFECYCLE: Mapping[str, frozenset[str]] = {
    "experiments": frozenset({_STAGE, "last_update_time"}),
    "runs": frozenset({_STAGE, DELETED_TIME}),
    "logged_models": frozenset({_STAGE, "last_updated_timestamp_ms"}),
}
"""The columns that change when something is marked as deleted, or restored."""

_FORGOTTEN = frozenset(
    {
        ("issues", "source_run_id"),
        ("endpoints", "experiment_id"),
        ("guardrails", "action_endpoint_id"),
        ("model_definitions", "secret_id"),
    }
)
"""Columns that become NULL with what they name: foreign keys of MLflow's schema that say so."""

_AT_ONCE = 5_000
"""How many owners are asked about at a time: a database answers by an index then."""


@dataclass(frozen=True, slots=True)
class Update:
    """New values of some columns of one row of the target."""

    table: str
    key: Key
    values: tuple[tuple[str, object], ...]


def is_undeletion(difference: Difference) -> bool:
    """Whether a row (left: the source's) is marked as deleted at the right, and no more."""
    columns = difference.columns
    marked = columns.get(_STAGE) == ("active", "deleted")
    return marked and columns.keys() <= LIFECYCLE.get(difference.table, frozenset())


def is_time_of_deletion(difference: Difference) -> bool:
    """Whether both sides deleted a thing, each at a time of its own."""
    return difference.sigil == DIFFER and difference.columns.keys() == {DELETED_TIME}


def undeletion(difference: Difference) -> Update:
    """What makes the target's row as the source's is, of a difference that `is_undeletion`."""
    key = tuple(difference.key[name] for name in BY_NAME[difference.table].key)
    values = tuple((name, mine) for name, (mine, _) in difference.columns.items())
    return Update(difference.table, key, values)


def how_to_restore(entity: str, key: str, option: str = "--undelete") -> str:
    """What somebody can do about a thing that the target has marked as deleted.

    Args:
        entity: Its kind.
        key: Its key there.
        option: The option of the verb that does it, too.
    """
    command = {
        "experiments": f"`mlflow experiments restore --experiment-id {key}`",
        "runs": f"`mlflow runs restore --run-id {key}`",
    }.get(entity)
    if command is None:
        return f"it is marked as deleted in the target: restore it with {option}"
    return f"it is marked as deleted in the target: restore it with {command}, or with {option}"


def marked(reader: Reader, entity: str, keys: set[str]) -> set[str]:
    """Which of some units are marked as deleted."""
    known = {table.name for table in reader.tables}
    if entity not in LIFECYCLE or entity not in known or not keys:
        return set()
    batches = read_units(reader, entity, (*KEY_OF[entity], _STAGE), KEY_OF[entity], keys)
    rows = (row for batch in batches for row in zip(*batch.to_pydict().values(), strict=True))
    return {key for key, stage in rows if stage == "deleted"}


def tombstones(reader: Reader) -> frozenset[str]:
    """The keys of deleted model versions."""
    key = BY_NAME["model_versions"].key
    if not any(table.name == "model_versions" for table in reader.tables):
        return frozenset()
    among = Among("current_stage", (DELETED_STAGE,))
    batches = reader.read("model_versions", (*key, "current_stage"), among)
    return frozenset(text for batch in batches for text in key_array(batch, key).to_pylist())


# --- What was lost with something that comes back -------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Loss:
    """What a thing of the target has lost: a row, or a link."""

    owner: tuple[str, str]
    needs: tuple[str, str]
    row: str
    link: Link | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A column of one row of the target that named what was purged, and is to name it again.

    Of a place (`value` is None) the new value is where the files of what comes back will lie.
    """

    table: str
    key: Key
    column: str
    value: object


@dataclass
class Lost:
    """What a target's things have lost with others that were purged, and that come back now.

    A logged model loses the metrics of a run with the run; an issue forgets the run that it was
    found in. That makes neither of them another one.

    Attributes:
        lacking: From a kind to the keys of what the source has, and the target has not or has
            marked as deleted: that alone makes MLflow delete the assessments that a run made
            (``SqlAlchemyStore._mark_run_deleted``).
    """

    lacking: Callable[[str], frozenset[str]]
    _losses: dict[str, list[_Loss]] = field(default_factory=dict)

    def explains(self, difference: Difference, row: Mapping[str, object]) -> bool:
        """Whether a difference is such a loss; then it is remembered, so that it can be mended.

        Args:
            difference: What differs.
            row: What the source's row has in the columns `asked` of its table.
        """
        table, owned = difference.table, OWNED.get(difference.table)
        if owned is None or not set(owned.columns) <= row.keys():
            return False
        owner = (owned.entity, key_text(row[name] for name in owned.columns))
        key = tuple(difference.key[name] for name in BY_NAME[table].key)
        if difference.sigil == ONLY_LEFT:
            named = (self._names(table, *item, row) for item in row.items())
            needs = next((found for found in named if found is not None), None)
            return needs is not None and self._remember(table, _Loss(owner, needs, key_text(key)))
        if difference.sigil != DIFFER:
            return False
        links = [self._forgotten(table, *item, row) for item in difference.columns.items()]
        if None in links or not links:
            return False
        for needs, change in (link for link in links if link is not None):
            self._remember(table, _Loss(owner, needs, "", Link(table, key, *change)))
        return True

    def _remember(self, table: str, loss: _Loss) -> bool:
        self._losses.setdefault(table, []).append(loss)
        return True

    def mendable(
        self, is_there: Callable[[str, str], bool], comes: Callable[[str, str], bool]
    ) -> tuple[dict[str, frozenset[str]], list[Link]]:
        """Rows (keys by table) and links that come back with what they were lost with.

        Args:
            is_there: Whether the target has a thing (kind, key) that is the same as the source's.
            comes: Whether a thing is copied now.
        """
        rows: dict[str, frozenset[str]] = {}
        links = []
        for table, losses in self._losses.items():
            mended = [one for one in losses if is_there(*one.owner) and comes(*one.needs)]
            keys = frozenset(one.row for one in mended if one.row)
            if keys:
                rows[table] = keys
            links += [one.link for one in mended if one.link is not None]
        return rows, list(dict.fromkeys(links))

    def _forgotten(
        self, table: str, column: str, values: tuple[object, object], row: Mapping[str, object]
    ) -> tuple[tuple[str, str], tuple[str, object]] | None:
        """What a column named that is lacking, and what would name it again; or None."""
        mine, theirs = values
        if theirs is None and (table, column) in _FORGOTTEN:
            named = self._names(table, column, mine, row)
            return None if named is None else (named, (column, mine))
        # A version's place is compared as "run:ID/path", or as one of files of its own.
        kind, colon, rest = str(mine).partition(":")
        entity = {"run": "runs", "logged_model": "logged_models"}.get(kind)
        if not colon or entity is None or column not in {"source", "storage_location"}:
            return None
        owner = rest.partition("/")[0]
        here = owner in self.lacking(entity) and theirs == OWN_FILES
        return ((entity, owner), (column, None)) if here else None

    def _names(
        self, table: str, column: str, value: object, row: Mapping[str, object]
    ) -> tuple[str, str] | None:
        """The thing that a column of a row names and that is lacking."""
        for holder in _links(table):
            holds = holder.where is None or row.get(holder.where[0]) == holder.where[1]
            if holder.column == column and holds and value in self.lacking(holder.table):
                return holder.table, str(value)
        if column == "experiment_id" and str(value) in self.lacking(EXPERIMENTS):
            return EXPERIMENTS, str(value)
        return None


def _links(table: str) -> Iterator[IdColumn]:
    """The columns of a table that name things of other kinds than the row belongs to."""
    own = {table, OWNED[table].entity} if table in OWNED else {table}
    yield from (c for c in id_columns(table) if c.table not in own)


def asked(table: str) -> tuple[str, ...]:
    """The columns that say what a row belongs to and what it names."""
    owner = OWNED[table].columns if table in OWNED else ()
    links = tuple(_links(table))
    wheres = (link.where[0] for link in links if link.where is not None)
    return tuple(dict.fromkeys((*owner, *(link.column for link in links), *wheres)))


# --- Rows of nobody -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leftover:
    """Rows of a table in the target in which some columns hold some values."""

    table: str
    columns: tuple[str, ...]
    key: Key


def leftovers(
    target: Reader, new: Mapping[str, Collection[str]], *, everywhere: bool
) -> Counter[Leftover]:
    """Rows of the target below things that it has not: left over of what was purged.

    Args:
        target: What is there.
        new: By kind, the keys of things that come and that the target has not.
        everywhere: Look into every table: the target may not have held its foreign keys (SQLite,
            edited by another program). Else only into those without any.

    Returns:
        How many rows there are of each, children before what they hang on.
    """
    return Counter(_leftovers(target, new, everywhere=everywhere))


def _leftovers(
    target: Reader, new: Mapping[str, Collection[str]], *, everywhere: bool
) -> Iterator[Leftover]:
    here = {table.name for table in target.tables}
    yield from _edges_left(target, frozenset(new.get("runs", ())), here)
    for table, owner in _where_to_look(everywhere=everywhere):
        keys = frozenset(new.get(owner.entity, ()))
        if keys and table in here:
            by = BY_NAME[table].key if table in ROWWISE else owner.columns
            yield from _below(target, table, owner.columns, keys, by)


def _where_to_look(*, everywhere: bool) -> Iterator[tuple[str, Owned]]:
    """Tables with rows that may be left over, children first, and what they belong to."""
    for entity in ENTITIES:
        for table in reversed(tables_of(entity)):
            if table in OWNED and (entity == "model_versions" or (everywhere and table != entity)):
                yield table, OWNED[table]
    if everywhere:
        yield "experiment_tags", Owned(EXPERIMENTS, ("experiment_id",))
        yield "registered_model_tags", Owned(MODELS, ("workspace", "name"))
        yield "registered_model_aliases", Owned(MODELS, ("workspace", "name"))


def _edges_left(target: Reader, runs: frozenset[str], here: set[str]) -> Iterator[Leftover]:
    if not runs or "inputs" not in here:
        return
    key = BY_NAME["inputs"].key
    found: dict[Leftover, str] = {}
    for column in ("source_id", "destination_id"):
        for batch in _among(target, "inputs", (*key, "input_uuid"), column, runs):
            rows = batch.filter(is_among(edge_owner(batch), runs))
            for row in rows.to_pylist():
                edge = Leftover("inputs", key, tuple(row[name] for name in key))
                found[edge] = row["input_uuid"]
    if found and "input_tags" in here:
        by = ("input_uuid",)
        yield from _below(target, "input_tags", by, frozenset(found.values()), by)
    yield from found


def _below(
    target: Reader,
    table: str,
    owner: tuple[str, ...],
    keys: frozenset[str],
    by: tuple[str, ...],
) -> Iterator[Leftover]:
    """The rows of a table that belong to some things, each `by` some of its columns."""
    columns = tuple(dict.fromkeys((*by, *owner)))
    if len(owner) == 1 and owner[0] != "experiment_id":
        batches = _among(target, table, columns, owner[0], keys)
    else:
        batches = target.read(table, columns)
    for batch in batches:
        owners = key_array(batch, owner)
        rows = batch.filter(is_among(owners.cast(pa.string()), keys))
        for row in rows.to_pylist():
            yield Leftover(table, by, tuple(row[name] for name in by))


def _among(
    target: Reader, table: str, columns: tuple[str, ...], column: str, keys: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    values = sorted(keys)
    for at in range(0, len(values), _AT_ONCE):
        chunk = tuple(values[at : at + _AT_ONCE])
        yield from target.read(table, columns, Among(column, chunk))
