"""What the format says of rows, vectorised: how large each is, and that keys strictly ascend."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["OrderCheck", "distinct", "first_change", "first_reaching", "joined", "python_rows"]
__all__ += ["row_sizes", "slices"]


def row_sizes(batch: pa.RecordBatch) -> pa.Array:
    """Raw bytes of each row (int64): 4 and its length for a text or binary, 8 for anything else.

    A column that is encoded as a dictionary counts as what it stands for.

    It depends on the values only, so that parts are cut at the same rows however the rows came.
    """
    lengths = [found for column in batch.columns if (found := _lengths(column)) is not None]
    fixed = 4 * len(lengths) + 8 * (batch.num_columns - len(lengths))
    sizes = pa.repeat(pa.scalar(fixed, pa.int64()), batch.num_rows)
    return reduce(pc.add, lengths, sizes)


def slices(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of at most so many rows, which share its memory."""
    for start in range(0, batch.num_rows, most):
        yield batch.slice(start, most)


_PYTHON_ROWS = 1_000
"""Rows that are Python's own values at a time: they take several times as much memory so."""


def python_rows(
    batch: pa.RecordBatch, columns: Sequence[str] | Sequence[int] | None = None
) -> Iterator[tuple[Any, ...]]:
    """The values of all columns, or of some by their names or places, row by row."""
    places = range(batch.num_columns) if columns is None else columns
    for some in slices(batch, _PYTHON_ROWS):
        yield from zip(*(some.column(at).to_pylist() for at in places), strict=True)


def first_reaching(sums: pa.Array, limit: int) -> int:
    """The index of the first of ascending sums that is at least `limit`, or their number."""
    low, high = 0, len(sums)
    while low < high:
        middle = (low + high) // 2
        if sums[middle].as_py() >= limit:
            high = middle
        else:
            low = middle + 1
    return low


def first_change(column: pa.Array, previous: pa.Array) -> int:
    """The index of the first value that is not the one before it, or the length.

    `previous` holds the value before the first (one element), or none if there was none.
    """
    if not len(previous):
        previous = column.slice(0, 1)
    whole = pa.concat_arrays([previous, column])
    same = _same(whole.slice(0, len(whole) - 1), whole.slice(1))
    found: int = pc.index(same, value=False).as_py()
    return len(column) if found < 0 else found


class OrderCheck:
    """Follows batches of a table and says whether their keys strictly ascend.

    Where rows may be alike (`repeats`), a key may come again.

    Texts are compared by their UTF-8 bytes, false is less than true, NaN is above all numbers, and
    NULL above everything. A table without a key has no order to break.

    Attributes:
        first: The key of the first row, as arrays of one value; none as long as there is no row.
        last: That of the last.
    """

    def __init__(self, key: tuple[str, ...], *, repeats: bool = False) -> None:
        """Take the names of the key columns, the most significant first."""
        self._key = key
        self._repeats = repeats
        self.first: list[pa.Array] = []
        self.last: list[pa.Array] = []

    def first_wrong(self, batch: pa.RecordBatch) -> int | None:
        """The index of the first row that is not above the row before it, or None."""
        if not self._key or not batch.num_rows:
            return None
        columns = [batch.column(name) for name in self._key]
        firsts = [_alone(column, 0) for column in columns]
        before, self.last = self.last, [_alone(column, -1) for column in columns]
        self.first = self.first or firsts
        if before and _first_wrong(before, firsts, equal=self._repeats) is not None:
            return 0
        rest = [column.slice(1) for column in columns]
        found = _first_wrong(columns, rest, equal=self._repeats)
        return None if found is None else found + 1


_FEW = 500
"""Rows of which Python finds the distinct ones before Arrow has made a plan for it."""


def distinct(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Table:
    """The distinct rows of these columns, those with a NULL left out."""
    if len(columns) == 1 and pa.types.is_string(batch.column(columns[0]).type):
        # Rows of one owner follow each other: there are few of them, once runs of them are one.
        texts = pc.run_end_encode(batch.column(columns[0])).values.unique().drop_null()
        return pa.table([texts], names=list(columns))
    chosen = batch.select(list(columns))
    if batch.num_rows <= _FEW:
        whole = zip(*(column.to_pylist() for column in chosen.columns), strict=True)
        rows = dict.fromkeys(row for row in whole if None not in row)
        return pa.table(
            [
                pa.array([row[at] for row in rows], field.type)
                for at, field in enumerate(chosen.schema)
            ],
            names=list(columns),
        )
    table = pa.Table.from_batches([chosen]).drop_null()
    return table.group_by(list(columns)).aggregate([]).select(list(columns))


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """At least one batch, as one; PyArrow has a function for it since release 19."""
    columns = zip(*(batch.columns for batch in batches), strict=True)
    arrays = [pa.concat_arrays(column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=batches[0].schema)


def _alone(column: pa.Array, at: int) -> pa.Array:
    """A value, copied: a slice would keep its whole batch in memory."""
    return pa.array([column[at].as_py()], column.type)


def _first_wrong(here: list[pa.Array], following: list[pa.Array], *, equal: bool) -> int | None:
    """The first row that is not below the one that follows it, nor the same if that is allowed.

    Most rows are told apart by the first columns; others are not looked at then.
    """
    rows = len(following[0])
    undecided = pa.repeat(pa.scalar(value=True), rows)
    wrong: list[int] = []
    for a, b in zip((column.slice(0, rows) for column in here), following, strict=True):
        same = _same(a, b)
        decided = pc.and_not(undecided, same)
        found = pc.index(_below(a.filter(decided), b.filter(decided)), value=False).as_py()
        if found >= 0:
            wrong.append(pc.indices_nonzero(decided)[found].as_py())
        undecided = pc.and_(undecided, same)
        if not undecided.true_count:
            break
    if undecided.true_count and not equal:
        wrong.append(pc.indices_nonzero(undecided)[0].as_py())
    return min(wrong, default=None)


def _same(a: pa.Array, b: pa.Array) -> pa.Array:
    """Whether each of `a` is the same as its counterpart in `b`."""
    same = pc.equal(a, b)
    if pa.types.is_floating(a.type):
        same = pc.or_(same, pc.and_(pc.is_nan(a), pc.is_nan(b)))
    if a.null_count or b.null_count:
        nulls = pc.and_(a.is_null(), b.is_null())
        same = pc.or_(pc.fill_null(same, fill_value=False), nulls)
    return same


def _below(a: pa.Array, b: pa.Array) -> pa.Array:
    """Whether each of `a` is below its counterpart in `b`."""
    if pa.types.is_boolean(a.type):
        a, b = a.cast(pa.int8()), b.cast(pa.int8())
    below = pc.less(a, b)
    if pa.types.is_floating(a.type):
        below = pc.or_(below, pc.and_not(pc.is_nan(b), pc.is_nan(a)))
    if a.null_count or b.null_count:
        nulls = pc.and_not(b.is_null(), a.is_null())
        below = pc.or_(pc.fill_null(below, fill_value=False), nulls)
    return below


def _lengths(column: pa.Array) -> pa.Array | None:
    """Bytes of each value of a text or binary column (0 for NULL), else None."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    elif pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        lengths = pc.binary_length(column)
    else:
        return None
    # A plain 0 would make Arrow import pandas.
    return pc.fill_null(lengths, pa.scalar(0, lengths.type)).cast(pa.int64())
