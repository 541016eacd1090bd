"""One side of a merge: sorted batches, read forward in windows that are never copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.types import Kind
from mlporter.compare.rows.values import bits, first_unsorted, key_columns, ordinals
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table

__all__ = ["Cursor", "Key", "Rows", "is_keyless"]

Key = tuple[object, ...]
"""The key of a row, as values that compare as rows sort (str compares as its UTF-8 bytes do)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows: their values, the same for testing equality at once, and their sortable keys."""

    values: pa.RecordBatch
    bits: pa.RecordBatch
    keys: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return int(self.values.num_rows)

    def slice(self, start: int, length: int) -> Rows:
        """Some of the rows, without a copy."""
        return Rows(
            self.values.slice(start, length),
            self.bits.slice(start, length),
            tuple(key.slice(start, length) for key in self.keys),
        )

    def key(self, row: int) -> Key:
        """The key of a row, as it sorts."""
        return tuple(key[row].as_py() for key in self.keys)

    def rows_up_to(self, key: Key) -> int:
        """How many rows have a key that is not greater."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= key:
                low = middle + 1
            else:
                high = middle
        return low


def is_keyless(table: Table) -> bool:
    """Whether the key stands for all columns of a table that has none."""
    return table.kind in {Kind.UNKNOWN, Kind.NEWER} and frozenset(table.key) == frozenset(
        table.schema.names
    )


class Cursor:
    """A position in a stream of batches that are sorted by a table's key.

    A table that has no key is sorted by all its columns: NULL is last, and rows may be alike, as
    they may in tables that repeat rows (`Table.repeats`). How many alike came before a row is then
    part of its key, so that they are counted.
    """

    def __init__(self, table: Table, batches: Iterator[pa.RecordBatch]) -> None:
        self._table = table
        self._batches = batches
        self._rows: Rows | None = None
        self._start = 0
        self._last: Key | None = None
        self._keyless = is_keyless(table)
        self._counted = self._keyless or table.repeats

    @property
    def left(self) -> int:
        """Rows that are at hand without reading on."""
        return len(self._rows) - self._start if self._rows is not None else 0

    @property
    def position(self) -> int:
        """Rows of the batch at hand that were gone past."""
        return self._start

    def fill(self) -> bool:
        """Read on if no row is at hand; False at the end.

        Raises:
            BundleDamagedError: the rows are not sorted, or a key comes twice or is NULL.
        """
        while not self.left:
            batch = next(self._batches, None)
            if batch is None:
                return False
            if batch.num_rows:
                self._take(batch)
        return True

    def peek(self, length: int) -> Rows:
        """The next rows, at most `length` and at most those at hand."""
        if self._rows is None:
            raise IndexError("nothing was read yet")
        return self._rows.slice(self._start, min(length, self.left))

    def peek_bits(self, length: int) -> pa.RecordBatch:
        """The next rows for a test of equality."""
        if self._rows is None:
            raise IndexError("nothing was read yet")
        return self._rows.bits.slice(self._start, length)

    def advance(self, length: int) -> None:
        """Go past the next `length` rows."""
        self._start += length

    def _take(self, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        keys = tuple(
            key
            for name in self._table.key
            for key in key_columns(batch.column(names.index(name)), nullable=self._keyless)
        )
        if self._counted:
            keys += (ordinals(keys, self._alike_before(keys)),)
        whole = pa.RecordBatch.from_arrays([bits(column) for column in batch.columns], names)
        rows = Rows(batch, whole, keys)
        self._check(rows)
        self._rows, self._start = rows, 0

    def _alike_before(self, keys: tuple[pa.Array, ...]) -> int:
        """How many rows like the first of a batch end the one before."""
        first = tuple(key[0].as_py() for key in keys)
        if self._last is None or self._last[:-1] != first:
            return 0
        return int(str(self._last[-1])) + 1

    def _check(self, rows: Rows) -> None:
        if any(key.null_count for key in rows.keys):
            raise self._damaged("a key is NULL", "")
        wrong = first_unsorted(rows.keys)
        if self._last is not None and rows.key(0) <= self._last:
            wrong = 0
        if wrong is not None:
            before = rows.key(wrong - 1) if wrong else self._last
            twice = rows.key(wrong) == before
            what = "a key comes twice" if twice else "rows are not sorted by their key"
            raise self._damaged(what, self._named(rows, wrong))
        self._last = rows.key(len(rows) - 1)

    def _named(self, rows: Rows, row: int) -> str:
        values = (rows.values.column(name)[row].as_py() for name in self._table.key)
        named = (f"{k}={v!r}" for k, v in zip(self._table.key, values, strict=True))
        return ": " + ", ".join(named)

    def _damaged(self, what: str, where: str) -> BundleDamagedError:
        return BundleDamagedError(f"{what}{where}", subject=self._table.name)
