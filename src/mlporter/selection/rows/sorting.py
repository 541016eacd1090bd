"""Rows sorted by a column: the first of them in bounded memory, all of them with a file's help."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["first_rows", "sorted_rows"]

_AHEAD = 20_000
"""Rows that are collected before they are sorted among the first ones."""
_SLICE = 5_000


def first_rows(batches: Iterator[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    """As many rows as asked for, in the order in which they come."""
    for batch in batches:
        if limit <= 0:
            return
        yield batch.slice(0, limit)
        limit -= batch.num_rows
        if limit <= 0:
            return


def sorted_rows(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, by: str, limit: int | None
) -> Iterator[pa.RecordBatch]:
    """Rows sorted by a column; equal ones stay in order, and those without a value come last.

    Args:
        batches: The rows.
        schema: Their columns.
        by: The column; with ``-`` before it, the greatest first.
        limit: How many of them; None is all.
    """
    order = "descending" if by.startswith("-") else "ascending"
    name = by.removeprefix("-")
    if limit is not None:
        yield from _top(batches, schema, [(name, order)], limit)
    else:
        yield from _all(batches, schema, name, order)


def _top(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, keys: list[tuple[str, str]], limit: int
) -> Iterator[pa.RecordBatch]:
    kept = schema.empty_table()
    for batch in batches:
        kept = pa.concat_tables([kept, pa.Table.from_batches([batch], schema)])
        if kept.num_rows > limit + _AHEAD:
            kept = _in_order(kept, keys).slice(0, limit).combine_chunks()
    yield from _in_order(kept, keys).slice(0, limit).combine_chunks().to_batches()


def _in_order(table: pa.Table, keys: list[tuple[str, str]]) -> pa.Table:
    return table.take(pc.sort_indices(table, sort_keys=keys))


def _all(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, name: str, order: str
) -> Iterator[pa.RecordBatch]:
    """Only the column sorted by, and where each row lies, is held; the rows are in a file."""
    with tempfile.TemporaryFile(prefix="mlporter-") as file:
        starts, keys, rows = [], [], 0
        with pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                if batch.num_rows:
                    writer.write_batch(batch)
                    starts.append(rows)
                    keys.append(batch.column(batch.schema.get_field_index(name)))
                    rows += batch.num_rows
        if not rows:
            return
        table = pa.table({"by": pa.chunked_array(keys)})
        wanted = pc.sort_indices(table, sort_keys=[("by", order)])
        del table, keys
        file.seek(0)
        reader = pa.ipc.open_file(file)
        for start in range(0, rows, _SLICE):
            yield _taken(reader, starts, wanted.slice(start, _SLICE))


def _taken(reader: pa.RecordBatchFileReader, starts: list[int], rows: pa.Array) -> pa.RecordBatch:
    """Some rows of a file, in the order asked for."""
    ascending = pc.sort_indices(rows)
    places = rows.take(ascending).to_pylist()
    bounds = [*starts[1:], float("inf")]
    parts, at = [], 0
    for number, (start, end) in enumerate(zip(starts, bounds, strict=True)):
        first = at
        while at < len(places) and places[at] < end:
            at += 1
        if at > first:
            batch = reader.get_batch(number)
            parts.append(batch.take(pa.array([place - start for place in places[first:at]])))
    found = pa.Table.from_batches(parts).take(pc.sort_indices(ascending))
    return found.combine_chunks().to_batches()[0]
