"""Runs with their parameters, last metrics and tags as columns: ``params.lr``, ``metrics.rmse``."""

from __future__ import annotations

import math
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.selection.rows.search import latest_points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Among, Source

__all__ = ["WIDE", "wide_batches", "wide_schema"]

WIDE = ("metrics", "params", "tags")
"""Tables whose rows become columns, as ``TABLE.KEY``."""
_FIRST = ("run_uuid", "name", "experiment_id", "status")
_CELLS = 500_000
"""The most cells of a batch."""


def wide_schema(source: Source, runs: pa.Schema, among: Among | None) -> pa.Schema:
    """The columns of runs, and one for each key that any of these runs has.

    What people ask for first comes first; MLflow's own tags come last.
    """
    found = []
    for table in WIDE:
        keys: set[str] = set()
        for batch in _batches(source, table, among):
            keys.update(batch.column(1).unique().to_pylist())
        kind = pa.float64() if table == "metrics" else pa.string()
        found += [pa.field(f"{table}.{key}", kind) for key in sorted(keys)]
    own = [field for field in found if field.name.startswith("tags.mlflow.")]
    first = [runs.field(name) for name in _FIRST if name in runs.names]
    rest = [field for field in runs if field.name not in _FIRST]
    return pa.schema([*first, *(f for f in found if f not in own), *rest, *own])


def wide_batches(
    source: Source, runs: Iterator[pa.RecordBatch], schema: pa.Schema, among: Among | None
) -> Iterator[pa.RecordBatch]:
    """Rows of runs, sorted by their ids, with more columns.

    Args:
        source: Where parameters, metrics and tags are.
        runs: Rows of runs, with the column ``run_uuid``.
        schema: The columns to give.
        among: Of which runs to read them.
    """
    wanted = {table: _keys(schema, table) for table in WIDE}
    cursors = {
        table: _Cursor(_points(source, table, among)) for table, keys in wanted.items() if keys
    }
    step = max(1, _CELLS // max(1, len(schema)))
    for whole in runs:
        for start in range(0, whole.num_rows, step):
            yield _widened(whole.slice(start, step), schema, cursors)


def _keys(schema: pa.Schema, table: str) -> list[str]:
    return [name for name in schema.names if name.startswith(f"{table}.")]


def _widened(
    batch: pa.RecordBatch, schema: pa.Schema, cursors: dict[str, _Cursor]
) -> pa.RecordBatch:
    values: dict[str, list[Any]] = {
        name: [None] * batch.num_rows for table in cursors for name in _keys(schema, table)
    }
    ids = batch.column(batch.schema.get_field_index("run_uuid")).to_pylist()
    for row, run in enumerate(ids):
        for table, cursor in cursors.items():
            for _, key, value in cursor.of(run):
                if (column := values.get(f"{table}.{key}")) is not None:
                    column[row] = value
    arrays = [
        pa.array(values[field.name], field.type)
        if field.name in values
        else batch.column(batch.schema.get_field_index(field.name))
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Cursor:
    """Rows that are sorted by run, read forward with the runs."""

    def __init__(self, rows: Iterator[tuple[str, str, Any]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._ahead = next(self._groups, None)

    def of(self, run: str) -> list[tuple[str, str, Any]]:
        """The rows of a run; it comes after those asked for before."""
        while self._ahead is not None and self._ahead[0] < run:
            self._ahead = next(self._groups, None)
        if self._ahead is None or self._ahead[0] != run:
            return []
        found = list(self._ahead[1])
        self._ahead = next(self._groups, None)
        return found


def _batches(source: Source, table: str, among: Among | None) -> Iterator[pa.RecordBatch]:
    if table == "metrics":
        return latest_points(source, among)
    return source.read(table, ("run_uuid", "key", "value"), among)


def _points(source: Source, table: str, among: Among | None) -> Iterator[tuple[str, str, Any]]:
    for batch in _batches(source, table, among):
        for row in batch.to_pylist():
            # MLflow stores what is not a number as 0.
            value = math.nan if row.get("is_nan") else row["value"]
            yield row["run_uuid"], row["key"], value
