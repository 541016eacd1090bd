"""Some of many rows: those with one of certain values, those that a mask marks, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Among

    Rows = Callable[[], Iterator[pa.RecordBatch]]
    """Reads the rows of a table that are to be written, as often as it is called."""

__all__ = ["columns_with", "is_among", "marked", "row_name", "rows_among", "with_nul"]


def columns_with(
    table: Table, columns: tuple[str, ...] | None, among: Among
) -> tuple[str, ...] | None:
    """The columns to read so that `rows_among` can tell the rows apart; None is all of them."""
    known = table.by_name.get(among.column)
    if known is None:
        raise KeyError(f"table {table.name} has no column {among.column}")
    if columns is None or among.column in columns:
        return columns
    return (*columns, among.column)


def rows_among(
    batches: Iterable[pa.RecordBatch], columns: tuple[str, ...] | None, among: Among
) -> Iterator[pa.RecordBatch]:
    """The rows in `among`, with no other columns than `columns` (None: as they come).

    Args:
        batches: Rows with the column of `among`, see `columns_with`.
        columns: What the caller asked for.
        among: The column and its values.
    """
    values = frozenset(among.values)
    for batch in batches:
        mask = is_among(batch.column(batch.schema.get_field_index(among.column)), values)
        kept = batch if pc.all(mask, min_count=0).as_py() else batch.filter(mask)
        if kept.num_rows:
            yield kept if columns is None else kept.select(list(columns))


def is_among(column: pa.Array, values: Container[object]) -> pa.Array:
    """For each value whether it is one of `values`; NULL is not.

    Each distinct value is looked up once, in time that does not depend on how many `values` there
    are: a column that rows are sorted by has few of them in a batch.
    """
    encoded = column.dictionary_encode()
    found = pa.array([value in values for value in encoded.dictionary.to_pylist()], pa.bool_())
    return found.take(encoded.indices).fill_null(fill_value=False)


def marked(mask: pa.Array) -> list[int]:
    """The positions at which a mask is true."""
    return [int(row) for row in pc.indices_nonzero(mask).to_pylist()]


def row_name(table: Table, batch: pa.RecordBatch, row: int) -> str:
    """A row's table and key, short enough for one line."""
    parts = [str(batch.column(key)[row].as_py()) for key in table.order]
    return f"{table.name} {'/'.join(part[:60] for part in parts)!r}"


def with_nul(texts: pa.Array) -> list[int]:
    """The positions of texts that have a NUL character."""
    return marked(pc.match_substring(texts, "\0")) if _may_have_nul(texts) else []


def _may_have_nul(array: pa.Array) -> bool:
    """Whether there is a zero byte in any text: far quicker than to look at each of them."""
    import numpy as np  # noqa: PLC0415 -- reading a bundle needs none

    data = array.buffers()[2] if len(array) else None
    if data is None or array.null_count == len(array):
        return False
    ends = np.frombuffer(array.buffers()[1], np.int32)[array.offset :]
    chars = np.frombuffer(data, np.uint8)[ends[0] : ends[len(array)]]
    return bool(np.count_nonzero(chars) < len(chars))
