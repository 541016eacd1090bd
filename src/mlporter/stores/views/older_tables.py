"""What MLflow 3.17 and newer hold, for tables of an older one.

What became columns of traces with 3.17 is in tags, metadata and metrics there. What the tables have
no place for stays in its column, so that it is found, and named, with all else that a target lacks.
The workspace that everything is in where there are none is no loss.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from functools import cached_property
from itertools import groupby, islice
from math import isfinite
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.catalogue.tables.system import DEFAULT_WORKSPACE
from mlporter.stores.database.history.traces_before import (
    DIMENSIONS,
    KEPT_IN,
    MOVED_BACK,
    assessment_left,
    dimensions_of,
)
from mlporter.stores.protocols import Among, Wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.history.traces_before import KeptIn
    from mlporter.stores.protocols import Source

__all__ = ["OlderTables", "for_older_tables"]

Row = dict[str, Any]

_NOTE = (
    "The target's MLflow is older than 3.17: names, sessions, token counts and costs of traces are "
    "written as the tags, metadata and metrics in which it has them."
)
_AT_ONCE = 5_000
_DIMENSIONS = f"spans.{DIMENSIONS.name}"
_WORKSPACES = "workspaces"
_TELLING = ("trace_info", "trace_name")
"""A column that only schemas with the moved columns have."""


def for_older_tables(source: Source, target: Sequence[Table]) -> Source:
    """A source as the tables of a target keep what it has; the same one, if they do as it does."""
    there = {table.name: table for table in target}
    here = {table.name: table for table in source.tables}
    table, column = _TELLING
    is_older = table in there and column not in there[table].by_name
    return OlderTables(source, there) if is_older and column in here[table].by_name else source


class OlderTables(Wrapped):
    """A source whose traces, spans and assessments are as an older MLflow keeps them.

    Args:
        inner: It, as MLflow 3.17 or newer has it.
        there: The tables that they are for, by name.
    """

    def __init__(self, inner: Source, there: dict[str, Table]) -> None:
        super().__init__(inner)
        self._by_name = {table.name: table for table in inner.tables}
        self._holders = {"", *(name for name in KEPT_IN if name in there)} & {"", *self._by_name}
        if "spans" in there and DIMENSIONS.name in there["spans"].by_name:
            self._holders.add(_DIMENSIONS)
        self._knows_workspaces = _WORKSPACES in there or _WORKSPACES not in self._by_name
        self._counts: dict[str, int] = {}

    @cached_property
    def _moved(self) -> dict[str, frozenset[str]]:
        """Columns whose values are held elsewhere, by table."""
        return {
            table: frozenset(name for name, holder in columns.items() if holder in self._holders)
            for table, columns in MOVED_BACK.items()
        }

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables; the model of a span is in the one column that was there for it."""
        return tuple(
            replace(table, columns=(*table.columns, DIMENSIONS))
            if table.name == "spans" and _DIMENSIONS in self._holders
            else table
            for table in self.inner.tables
            if table.name != _WORKSPACES or self._has_workspaces
        )

    @cached_property
    def _has_workspaces(self) -> bool:
        """Whether there is more than the target says without a table of them."""
        if self._knows_workspaces:
            return True
        found = (row for batch in self.inner.read(_WORKSPACES) for row in batch.to_pylist())
        said = [{name: value for name, value in row.items() if value is not None} for row in found]
        return said not in ([], [DEFAULT_WORKSPACE])

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        has_any = self.inner.count(_TELLING[0]) > 0
        return (*self.inner.notes, *([_NOTE] if has_any else []))

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table not in KEPT_IN or table not in self._holders:
            return self.inner.count(table)
        if table not in self._counts:
            key = self._by_name[table].key
            self._counts[table] = sum(batch.num_rows for batch in self.read(table, key))
        return self._counts[table]

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table in KEPT_IN and table in self._holders:
            found = self._with_moved(table, KEPT_IN[table], among)
        elif table in MOVED_BACK and _asks(columns, (*self._moved[table], DIMENSIONS.name)):
            found = self._without_moved(table, among)
        else:
            return self.inner.read(table, columns, among)
        return (batch if columns is None else batch.select(list(columns)) for batch in found)

    # --- Rows that were columns -------------------------------------------------------------------

    def _with_moved(
        self, table: str, kept: KeptIn, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a table, and those that columns make; of two with one key it is these."""
        entry = self._by_name[table]
        made = self._made(entry, kept, among)
        there = (row for batch in self.inner.read(table, None, among) for row in batch.to_pylist())

        def key(row: Row) -> tuple[bytes, ...]:
            return tuple(str(row[name]).encode() for name in entry.key)

        both = groupby(heapq.merge(made, there, key=key), key)
        yield from _batches((next(rows) for _, rows in both), entry.schema)

    def _made(self, entry: Table, kept: KeptIn, among: Among | None) -> Iterator[Row]:
        names = entry.key[: len(kept.key)]
        asked = dict(zip(names, kept.key, strict=True))
        inside = None
        if among is not None and among.column in asked:
            inside = Among(asked[among.column], among.values)
        wanted = frozenset[object](among.values if among is not None else ())
        for batch in self.inner.read(kept.table, (*kept.key, *kept.columns), inside):
            for row in batch.to_pylist():
                owner = {name: row[asked[name]] for name in names}
                for key, value in sorted(kept.pairs(row), key=lambda pair: pair[0].encode()):
                    made = {**owner, "key": key, "value": value}
                    if among is None or made[among.column] in wanted:
                        yield made

    # --- Columns that are rows there --------------------------------------------------------------

    def _without_moved(self, table: str, among: Among | None) -> Iterator[pa.RecordBatch]:
        entry = next(entry for entry in self.tables if entry.name == table)
        for batch in self.inner.read(table, None, among):
            rows = batch.to_pylist()
            if table == "assessments":
                rows = self._assessments(rows)
            else:
                rows = [self._left(table, row) for row in rows]
            yield pa.RecordBatch.from_pylist(rows, schema=entry.schema)

    def _left(self, table: str, row: Row) -> Row:
        """A row with those values only that nothing else holds."""
        left = {name: _unless_held(row[name]) for name in self._moved[table]}
        more = {}
        if table == "spans" and _DIMENSIONS in self._holders:
            more[DIMENSIONS.name] = dimensions_of(row)
        return {**row, **left, **more}

    def _assessments(self, rows: list[Row]) -> list[Row]:
        ids = tuple(sorted({row["trace_id"] for row in rows}, key=str.encode))
        names = ("request_id", "experiment_id", "timestamp_ms")
        traces = {
            found["request_id"]: (found["experiment_id"], found["timestamp_ms"])
            for batch in self.inner.read("trace_info", names, Among("request_id", ids))
            for found in batch.to_pylist()
        }
        return [{**row, **assessment_left(row, traces.get(row["trace_id"]))} for row in rows]


def _unless_held(value: object) -> object:
    """What is left of a value in its column: what no older schema has, such as an endless cost."""
    return value if isinstance(value, float) and not isfinite(value) else None


def _asks(columns: tuple[str, ...] | None, moved: Iterable[str]) -> bool:
    return columns is None or not set(moved).isdisjoint(columns)


def _batches(rows: Iterator[Row], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for first in rows:
        found = [first, *islice(rows, _AT_ONCE - 1)]
        yield pa.RecordBatch.from_pylist(found, schema=schema)
