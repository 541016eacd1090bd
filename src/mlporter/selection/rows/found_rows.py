"""Rows of a table as they are asked for: columns, condition, order, how many; runs also wide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.errors import UsageError
from mlporter.selection.criteria import Selection
from mlporter.selection.rows.conditions import meeting, parse_conditions, unknown_column
from mlporter.selection.rows.runs import find_runs
from mlporter.selection.rows.sorting import first_rows, sorted_rows
from mlporter.selection.rows.wide_runs import WIDE, wide_batches, wide_schema
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Source
    from mlporter.stores.rows.run_filter import Clause

__all__ = ["Query", "find_rows"]

_RUNS, _ID = "runs", "run_uuid"


@dataclass(frozen=True)
class Query:
    """What is asked of a table.

    Attributes:
        table: Its name.
        columns: Only these, in this order; None is all.
        where: Only rows that meet it: of runs in MLflow's search syntax, too.
        sort: A column; with ``-`` before it, the greatest first.
        limit: How many; None is all.
        wide: Of runs, with parameters, last metrics and tags as columns.
    """

    table: str
    columns: tuple[str, ...] | None = None
    where: str | None = None
    sort: str | None = None
    limit: int | None = None
    wide: bool = False

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that are named, maybe twice."""
        sort = () if self.sort is None else (self.sort.removeprefix("-"),)
        return (*(self.columns or ()), *sort)

    @property
    def is_wide(self) -> bool:
        """Whether columns are asked for that only wide runs have."""
        starts = tuple(f"{table}." for table in WIDE)
        return self.wide or (self.table == _RUNS and any(n.startswith(starts) for n in self.named))


def find_rows(source: Source, schema: pa.Schema, query: Query) -> pa.RecordBatchReader:
    """The rows as a stream, in key order unless another is asked for.

    Args:
        source: Where they are.
        schema: All columns of the table.
        query: What is asked for.

    Raises:
        UsageError: there is no such column, or the condition makes no sense.
    """
    if query.is_wide and query.table != _RUNS:
        raise UsageError(f"{query.table} cannot be wide", hint="only the table runs can")
    clauses, among = _condition(source, schema, query)
    if query.is_wide:
        return _wide(source, schema, query, clauses, among)
    _check(query.named, schema)
    columns = query.columns or tuple(schema.names)
    needed = tuple(dict.fromkeys((*columns, *query.named, *(c.key for c in clauses))))
    rows = (meeting(batch, clauses) for batch in source.read(query.table, needed, among))
    return _reader(rows, pa.schema([schema.field(name) for name in needed]), columns, query)


def _check(names: tuple[str, ...], schema: pa.Schema) -> None:
    for name in names:
        if name not in schema.names:
            raise unknown_column(name, schema.names)


def _condition(
    source: Source, schema: pa.Schema, query: Query
) -> tuple[tuple[Clause, ...], Among | None]:
    """Conditions on the table's own columns, or else the runs that MLflow's search finds."""
    if query.where is None:
        return (), None
    if query.table != _RUNS:
        return parse_conditions(query.where, schema), None
    try:
        return parse_conditions(query.where, schema), None
    except UsageError:
        runs, _ = find_runs(source, Selection(filter=query.where), None)
    return (), _runs(runs)


def _runs(ids: set[str]) -> Among:
    return Among(_ID, tuple(sorted(ids)))


def _reader(
    rows: Iterator[pa.RecordBatch], schema: pa.Schema, columns: tuple[str, ...], query: Query
) -> pa.RecordBatchReader:
    if query.sort is not None:
        rows = sorted_rows(rows, schema, query.sort, query.limit)
    elif query.limit is not None:
        rows = first_rows(rows, query.limit)
    shown = pa.schema([schema.field(name) for name in columns])
    return pa.RecordBatchReader.from_batches(shown, (row.select(list(columns)) for row in rows))


def _wide(
    source: Source, runs: pa.Schema, query: Query, clauses: tuple[Clause, ...], among: Among | None
) -> pa.RecordBatchReader:
    """Of a limited number of runs nothing is read but what these have."""
    if clauses:
        needed = tuple(dict.fromkeys((_ID, *(clause.key for clause in clauses))))
        found = (meeting(batch, clauses) for batch in source.read(_RUNS, needed))
        among = _runs({run for batch in found for run in batch.column(0).to_pylist()})
    if query.limit is not None:
        first = replace(query, columns=(_ID,), where=None)
        by = _wide_rows(source, runs, first, among) if query.sort else None
        batches = by or first_rows(source.read(_RUNS, (_ID,), among), query.limit)
        among = _runs({run for batch in batches for run in batch.column(0).to_pylist()})
    return _wide_rows(source, runs, query, among)


def _wide_rows(
    source: Source, runs: pa.Schema, query: Query, among: Among | None
) -> pa.RecordBatchReader:
    every = wide_schema(source, runs, among)
    _check(query.named, every)
    columns = query.columns or tuple(every.names)
    needed = tuple(dict.fromkeys((*columns, *query.named)))
    schema = pa.schema([every.field(name) for name in needed])
    own = tuple(dict.fromkeys((_ID, *(name for name in needed if name in runs.names))))
    rows = wide_batches(source, source.read(_RUNS, own, among), schema, among)
    return _reader(rows, schema, columns, query)
