"""Any source as MLflow's REST API would show it, so that it can be held against a server.

What the API hides is hidden (`mlporter.catalogue.rest_limits`), and the ids that it does not show
are made up as a server's reader makes them up. A server's own source is brought to the same shape.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.rest_limits import BLANKS, EMPTIES, HIDDEN_ROWS, NUMBERS, USUAL
from mlporter.catalogue.tables.own import OWNER_TABLES, owner_key
from mlporter.stores.database.scratch_registry import ScratchRegistry
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rows.filters import is_among
from mlporter.stores.rows.synthetic_ids import dataset_uuid, input_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Among, ArtifactFile, Description, Keep, Report, Source

__all__ = ["RestView", "rest_batch"]

_EDGES = ("inputs", "input_tags")


class RestView(Wrapped):
    """A source as MLflow's REST API would show it. Closing it leaves the source itself open.

    Memory grows with what is deleted and with the datasets that were logged, and with nothing else.
    """

    def __init__(self, inner: Source) -> None:
        super().__init__(inner)
        self._scratch: ScratchRegistry | None = None

    @property
    def description(self) -> Description:
        """What and where it is."""
        return replace(self.inner.description, over_rest=True)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table in _EDGES and self._has("inputs"):
            return self._edges.reader.read(table, columns, among)
        return self._read(table, columns, among)

    def _read(
        self, table: str, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        for batch in self.inner.read(table, None, among):
            told = rest_batch(table, self._without_hidden(table, batch))
            if told.num_rows:
                yield told if columns is None else told.select(list(columns))

    # --- Rows that are hidden ---------------------------------------------------------------------

    def _without_hidden(self, table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch without deleted rows, and without what hangs on deleted rows."""
        parent = BY_NAME[table].parent if table in BY_NAME else None
        head = table if table in HIDDEN_ROWS else parent
        if head is None or head not in HIDDEN_ROWS:
            return batch
        key = tuple(name for name in BY_NAME[head].key if name in batch.schema.names)
        hidden = self._hidden[head]
        if not hidden or not key:
            return batch
        return batch.filter(pc.invert(is_among(_joined(batch, key), hidden)))

    @cached_property
    def _hidden(self) -> dict[str, frozenset[str]]:
        return {table: frozenset(self._hidden_of(table)) for table in HIDDEN_ROWS}

    def _hidden_of(self, table: str) -> Iterator[str]:
        entry = next((entry for entry in self.inner.tables if entry.name == table), None)
        column, mark = HIDDEN_ROWS[table]
        if entry is None or column not in entry.by_name:
            return
        for batch in self.inner.read(table, (*entry.key, column)):
            values = batch.column(len(entry.key))
            gone = values.is_valid() if mark is None else pc.equal(values, mark)
            yield from _joined(batch.filter(pc.fill_null(gone, False)), entry.key).to_pylist()  # noqa: FBT003

    # --- Ids that are not shown -------------------------------------------------------------------

    def _has(self, table: str) -> bool:
        return any(entry.name == table for entry in self.inner.tables)

    @cached_property
    def _edges(self) -> ScratchRegistry:
        """`inputs` and `input_tags` by ids that are made up of what they are known by."""
        self._scratch = ScratchRegistry(self.description.address)
        datasets = {
            row["dataset_uuid"]: dataset_uuid(row["experiment_id"], row["name"], row["digest"])
            for batch in self.inner.read("datasets", (*BY_NAME["datasets"].key, "dataset_uuid"))
            for row in batch.to_pylist()
        }
        ids: dict[str, str] = {}
        for batch in self.inner.read("inputs"):
            rows = batch.to_pylist()
            for row in rows:
                if row["source_type"] == "DATASET":
                    row["source_id"] = datasets.get(row["source_id"], row["source_id"])
                told = input_uuid(*(row[name] for name in BY_NAME["inputs"].key))
                if row["source_type"] == "DATASET":
                    ids[row["input_uuid"]] = told
                row["input_uuid"] = told
            self._scratch.append_rows("inputs", rows)
        for batch in self.inner.read("input_tags") if self._has("input_tags") else ():
            rows = batch.to_pylist()
            for row in rows:
                row["input_uuid"] = ids.get(row["input_uuid"], row["input_uuid"])
            self._scratch.append_rows("input_tags", rows)
        return self._scratch

    # --- Files ------------------------------------------------------------------------------------

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file of what is shown."""

        def is_shown(kind: str, owner: str) -> bool:
            table = OWNER_TABLES.get(kind, "")
            key = "\x00".join(owner_key(kind, owner))
            is_hidden = key in self._hidden.get(table, ())
            return not is_hidden and (keep is None or keep(kind, owner))

        return self.inner.files(report, is_shown)

    def close(self) -> None:
        """Forget what was made up."""
        if self._scratch is not None:
            self._scratch.close()


def _joined(batch: pa.RecordBatch, key: tuple[str, ...]) -> pa.Array:
    texts = [batch.column(batch.schema.names.index(name)).cast(pa.string()) for name in key]
    return pc.binary_join_element_wise(*texts, "\x00") if len(texts) > 1 else texts[0]


def rest_batch(table: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with blanks as NULL, whole numbers as such, and hidden columns as they are."""
    for column in BY_NAME[table].columns if table in BY_NAME else ():
        if column.fallback is not None and column.fallback in batch.schema.names:
            instead = batch.column(batch.schema.get_field_index(column.fallback))
            batch = _with(batch, column.name, partial(_or_else, instead))
    for name in BLANKS.get(table, ()):
        batch = _with(batch, name, _without_blanks)
    for name in EMPTIES.get(table, ()):
        batch = _with(batch, name, _without_empties)
    for name, parts in USUAL.get(table, {}).items():
        batch = _with(batch, name, partial(_without_usual, parts))
    for name in NUMBERS.get(table, ()):
        batch = _with(batch, name, _whole_numbers)
    return batch


def _with(batch: pa.RecordBatch, name: str, change: Any) -> pa.RecordBatch:  # noqa: ANN401 -- a function
    index = batch.schema.get_field_index(name)
    if index < 0:
        return batch
    field = batch.schema.field(index).with_nullable(nullable=True)
    return batch.set_column(index, field, change(batch.column(index)))


def _or_else(instead: pa.Array, column: pa.Array) -> pa.Array:
    return pc.coalesce(column, instead)


def _without_blanks(column: pa.Array) -> pa.Array:
    blank = pc.is_in(column, value_set=pa.array(["", "null"], pa.string()))
    return pc.if_else(blank, pa.scalar(None, column.type), column)


def _without_empties(column: pa.Array) -> pa.Array:
    empty = pc.is_in(column, value_set=pa.array(["[]", "{}"], pa.string()))
    return pc.if_else(empty, pa.scalar(None, column.type), column)


def _without_usual(parts: tuple[tuple[str, str], ...], column: pa.Array) -> pa.Array:
    for written, without in parts:
        column = pc.replace_substring(column, written, without)
    return column


def _whole_numbers(column: pa.Array) -> pa.Array:
    return pa.array([_as_rest_shows(text) for text in column.to_pylist()], column.type)


def _as_rest_shows(text: str | None) -> str | None:
    try:
        return None if text is None else json.dumps(json.loads(text, parse_int=float))
    except ValueError:
        return text
