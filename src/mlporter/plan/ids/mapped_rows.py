"""Tables as the other side sees them: ids mapped, and without what is not to be copied."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.compare.rows.key_masks import KeyMask
from mlporter.plan.ids.id_columns import ids_in, names_in, numbers_in
from mlporter.plan.ids.id_strings import map_strings
from mlporter.plan.ids.resorting import resorted
from mlporter.plan.units import EXPERIMENTS, OWNED, Choice, is_among, key_array
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import known_roots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.artifacts.uris.ownership import Root
    from mlporter.catalogue.types import Table
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.side_reader import Reader

__all__ = ["MappedReader", "edge_owner", "map_batch"]

_FEW = 20_000
"""Up to so many ids, a database is asked for their rows only."""


class MappedReader:
    """The tables of another reader, by other ids, and without what is not chosen."""

    def __init__(self, inner: Reader, ids: IdMap, choice: Choice | None = None) -> None:
        self._rows = inner
        self.ids = ids
        self._choice = choice or Choice()
        self._by_name = {table.name: table for table in inner.tables}
        self._masks: dict[str, KeyMask] = {}
        self._row_masks: dict[str, KeyMask] = {}

    @property
    def tables(self) -> tuple[Table, ...]:
        """The source's tables."""
        return self._rows.tables

    @property
    def known_roots(self) -> tuple[Root, ...]:
        """Roots that the source knows of others; what is in the target has its id there."""
        return known_roots(self._rows)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table that are copied, in the target's terms, sorted by its key.

        A bundle's own tables, such as what its export left out, are as they are.
        """
        entry = self._by_name.get(table)
        if entry is None:
            return self._rows.read(table, columns, among)
        wanted = columns or tuple(entry.schema.names)
        if not self.drops(table) and not self._changes(entry):
            return self._rows.read(table, columns, among)
        return self._read(entry, wanted, among)

    def _read(
        self, entry: Table, wanted: tuple[str, ...], among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        if self._is_empty(entry):
            return
        needed = self._needed(entry, wanted, among)
        batches = self._rows.read(entry.name, needed, self._asked(entry, among))
        carried = self._carried(entry, batches)
        mapped: Iterator[pa.RecordBatch] = (map_batch(entry, batch, self.ids) for batch in carried)
        if self._reorders(entry):
            mapped = resorted(entry, mapped)
        wanted_keys = KeyMask(among.values if among is not None else ())
        for batch in mapped:
            rows = self._left(entry, batch)
            if among is not None:
                index = rows.schema.get_field_index(among.column)
                rows = rows.filter(wanted_keys.of(rows.column(index)))
            if rows.num_rows:
                yield rows.select(list(wanted))

    def _needed(
        self, entry: Table, wanted: tuple[str, ...], among: Among | None
    ) -> tuple[str, ...]:
        """The columns to read: what decides about rows, or about what is in a column, too."""
        names = dict.fromkeys(wanted)
        names.update(dict.fromkeys(entry.order))
        if entry.name in OWNED:
            names.update(dict.fromkeys(OWNED[entry.name].columns))
        if entry.name == "inputs":
            names["input_uuid"] = None
        names.update({c.where[0]: None for c in ids_in(entry) if c.where})
        names.update({h.where[0]: None for h in entry.hidden if h.where})
        if self.ids.models:
            names.update({name: None for pair in names_in(entry) for name in pair})
        if among is not None:
            names[among.column] = None
        return tuple(name for name in entry.schema.names if name in names)

    # --- Which rows ---------------------------------------------------------------------------

    def drops(self, table: str) -> bool:
        """Whether some of a table's rows may be left out."""
        entity = "runs" if table in {"inputs", "input_tags"} else None
        if table in OWNED:
            entity = OWNED[table].entity
        return (entity or table) in self._choice.units or table in self._choice.rows

    def _is_empty(self, entry: Table) -> bool:
        """Whether nothing of a table is copied, known without a look at it."""
        if entry.name in self._choice.besides:
            return False
        entity = OWNED[entry.name].entity if entry.name in OWNED else entry.name
        entity = "runs" if entry.name in {"inputs", "input_tags"} else entity
        chosen = self._choice.units.get(entity)
        return chosen is not None and not chosen.keys and not chosen.without

    def _asked(self, entry: Table, among: Among | None) -> Among | None:
        """What a database can be asked for, instead of reading everything."""
        if among is not None and self._is_as_it_is(entry, among.column):
            return among
        return self._pushed(entry)

    def _is_as_it_is(self, entry: Table, column: str) -> bool:
        """Whether the values of a column are surely not mapped."""
        if not self._changes(entry):
            return True
        names = {"workspace", "name", *(name for pair in names_in(entry) for name in pair)}
        if column in names or entry.name == "entity_associations":
            return False
        if column in numbers_in(entry) and self.ids.experiments:
            return False
        own = {c.column for c in ids_in(entry) if self.ids.of(c.table)}
        return column not in own and all(hidden.column != column for hidden in entry.hidden)

    def _pushed(self, entry: Table) -> Among | None:
        """What is asked for because of what is chosen."""
        owned = OWNED.get(entry.name)
        chosen = self._choice.units.get(owned.entity) if owned else None
        if owned is None or chosen is None or chosen.without or len(owned.columns) > 1:
            return None
        keys = chosen.keys
        if entry.name in self._choice.besides:
            if entry.name not in self._choice.below:
                return None
            keys |= self._choice.below[entry.name]
        return None if len(keys) > _FEW else Among(owned.columns[0], tuple(sorted(keys)))

    def _carried(self, entry: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        owned, units = OWNED.get(entry.name), self._choice.units
        for batch in batches:
            if owned is not None and owned.entity in units:
                keep = units[owned.entity].mask(key_array(batch, owned.columns))
                if entry.name in self._choice.besides:
                    keep = pc.or_(keep, self._besides(entry.name).of(key_array(batch, entry.key)))
                yield batch.filter(keep)
            elif entry.name == "inputs" and "runs" in units:
                yield batch.filter(units["runs"].mask(edge_owner(batch)))
            elif entry.name == "input_tags" and "runs" in units:
                yield batch.filter(is_among(batch.column("input_uuid"), self._edges))
            elif entry.name in units:
                yield batch.filter(units[entry.name].mask(key_array(batch, entry.key)))
            else:
                yield batch

    def _left(self, entry: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Without single rows that are left out, by their mapped keys."""
        rows = self._choice.rows.get(entry.name)
        if not rows:
            return batch
        keys = key_array(batch, entry.order)
        keys = keys if pa.types.is_string(keys.type) else keys.cast(pa.string())
        return batch.filter(pc.invert(self._without(entry.name).of(keys)))

    def _besides(self, table: str) -> KeyMask:
        if table not in self._masks:
            self._masks[table] = KeyMask(self._choice.besides[table])
        return self._masks[table]

    def _without(self, table: str) -> KeyMask:
        if table not in self._row_masks:
            self._row_masks[table] = KeyMask(self._choice.rows[table])
        return self._row_masks[table]

    @cached_property
    def _edges(self) -> frozenset[str]:
        """Ids of the inputs of the runs that are copied."""
        entry = self._by_name.get("inputs")
        if entry is None:
            return frozenset()
        batches = self._rows.read("inputs", (*entry.key, "input_uuid"))
        return frozenset(
            edge
            for batch in self._carried(entry, batches)
            for edge in batch.column("input_uuid").to_pylist()
        )

    # --- What is in them ----------------------------------------------------------------------

    def _changes(self, entry: Table) -> bool:
        ids = self.ids
        if ids.is_identity:
            return False
        names = entry.by_name
        return bool(
            (ids.experiments and numbers_in(entry))
            or ("workspace" in names and ids.workspaces)
            or entry.name in {"workspaces", EXPERIMENTS}
            or (ids.models and names_in(entry))
            or any(ids.of(c.table) for c in ids_in(entry))
            or entry.hidden
            or entry.name == "entity_associations"
            or (entry.name == "spans" and ids.of("trace_info"))
        )

    def _reorders(self, entry: Table) -> bool:
        """Whether the rows must be sorted again: a column of the key changes its order."""
        if not self._changes(entry):
            return False
        own = {c.column for c in ids_in(entry) if self.ids.of(c.table)}
        if self.ids.models and names_in(entry):
            return True
        if {*numbers_in(entry)} & {*entry.key} and any(
            old != new for old, new in self.ids.experiments.items()
        ):
            return True
        first, *rest = entry.key or ("",)
        if first in own and self._table_of(entry, first) not in self.ids.ordered:
            return True
        return bool(own & set(rest)) or entry.name == "entity_associations"

    def _table_of(self, entry: Table, column: str) -> str:
        return next(c.table for c in ids_in(entry) if c.column == column)


def map_batch(entry: Table, batch: pa.RecordBatch, ids: IdMap) -> pa.RecordBatch:
    """Rows of a table by other ids, in the order that they have."""
    batch = map_strings(entry, batch, ids)
    originals = batch
    for holder in ids_in(entry):
        if changes := ids.of(holder.table):
            where = None if holder.where is None else _equal(originals, *holder.where)
            batch = _replace(batch, holder.column, changes, where)
    if ids.models:
        for workspace, name in names_in(entry):
            batch = _model_names(batch, workspace, name, ids)
    if entry.name == EXPERIMENTS and ids.experiment_names:
        batch = _replace_by(batch, "name", "experiment_id", ids.experiment_names)
    if ids.experiments:
        for column in numbers_in(entry):
            batch = _replace(batch, column, ids.experiments)
    if ids.workspaces:
        column = "name" if entry.name == "workspaces" else "workspace"
        batch = _replace(batch, column, ids.workspaces)
    return batch


def edge_owner(batch: pa.RecordBatch) -> pa.Array:
    """The run at one end of each row of `inputs`: a dataset's goes in, a model's comes out."""
    names = batch.schema.names
    from_run = is_among(batch.column(names.index("source_type")), ("RUN_INPUT", "RUN_OUTPUT"))
    source = batch.column(names.index("source_id"))
    return pc.if_else(from_run, source, batch.column(names.index("destination_id")))


def _equal(batch: pa.RecordBatch, column: str, value: str) -> pa.Array:
    found = pc.equal(batch.column(batch.schema.get_field_index(column)), value)
    return pc.fill_null(found, fill_value=False)


def _replace(
    batch: pa.RecordBatch,
    column: str,
    changes: Mapping[str, str] | Mapping[int, int],
    where: pa.Array | None = None,
) -> pa.RecordBatch:
    """A batch in which the values of a column are changed, where `where` holds."""
    index = batch.schema.get_field_index(column)
    if index < 0:
        return batch
    values = batch.column(index)
    olds = pa.array(list(changes), values.type)
    news = pa.array(list(changes.values()), values.type)
    mapped = pc.coalesce(news.take(pc.index_in(values, value_set=olds)), values)
    if where is not None:
        mapped = pc.if_else(where, mapped, values)
    return batch.set_column(index, batch.schema.field(index), mapped)


def _replace_by(
    batch: pa.RecordBatch, column: str, key: str, changes: Mapping[int, str]
) -> pa.RecordBatch:
    """A batch in which a column has new values in the rows with some keys."""
    index = batch.schema.get_field_index(column)
    if index < 0:
        return batch
    values = batch.column(index)
    keys = batch.column(batch.schema.get_field_index(key))
    news = pa.array(list(changes.values()), values.type)
    found = pc.index_in(keys, value_set=pa.array(list(changes), keys.type))
    return batch.set_column(index, batch.schema.field(index), pc.coalesce(news.take(found), values))


def _model_names(batch: pa.RecordBatch, workspace: str, name: str, ids: IdMap) -> pa.RecordBatch:
    index = batch.schema.get_field_index(name)
    other = batch.schema.get_field_index(workspace)
    if min(index, other) < 0:
        return batch
    workspaces = batch.column(other).to_pylist()
    names = batch.column(index).to_pylist()
    news = [ids.model(w, n) for w, n in zip(workspaces, names, strict=True)]
    field_ = batch.schema.field(index)
    return batch.set_column(index, field_, pa.array(news, field_.type))


def edges_of(reader: MappedReader) -> dict[str, str]:
    """The run of each input, by the input's id."""
    columns = ("destination_id", "destination_type", "source_type", "source_id", "input_uuid")
    found: dict[str, str] = {}
    for batch in reader.read("inputs", columns):
        edges = batch.column("input_uuid").to_pylist()
        found.update(zip(edges, edge_owner(batch).to_pylist(), strict=True))
    return found


def edge_end(key: Mapping[str, object]) -> str:
    """The run of an input, by the input's key."""
    from_run = key["source_type"] in {"RUN_INPUT", "RUN_OUTPUT"}
    return str(key["source_id"] if from_run else key["destination_id"])
