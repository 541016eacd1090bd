"""The engine: two streams of sorted batches, compared at Arrow's speed.

Where both sides go on the same, equally long windows of both (slices, never copies) are equal as
a whole, and no row is looked at. Where they are not, the window shrinks onto the difference, a
block of both sides is matched by key, and the windows grow again from behind it. As each side is
read at its own position, an inserted row costs one block and not the rest of the stream. Blocks
grow where differences are dense. Each failed window is paid for by one that succeeded before it,
so the work is linear in the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlporter.compare.report import DIFFER, ONLY_LEFT, ONLY_RIGHT, Difference, Sigil, TableCounts
from mlporter.compare.rows.cursor import Cursor, Key, Rows, is_keyless
from mlporter.compare.rows.values import codes, excerpts, unequal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlporter.catalogue.types import Column, Table

__all__ = ["Merge", "OnDifference", "compare_streams"]

OnDifference = Callable[[Difference], None]
"""Takes differences as they are found, in the order of the key."""

_LEAST = 256
"""Rows of the smallest window, and of the first block matched at a difference."""

_MOST = 1 << 16
"""Rows of the largest block matched at once: bounds memory where everything differs."""

_WINDOW = 1 << 20


def compare_streams(  # noqa: PLR0913 - two streams and how to compare them
    table: Table,
    left: Iterator[pa.RecordBatch],
    right: Iterator[pa.RecordBatch],
    on_difference: OnDifference,
    *,
    strict: bool = False,
    limit: int | None = None,
) -> TableCounts:
    """Compare two streams of a table's rows, both sorted by its key.

    Args:
        table: Names the key, and which columns are JSON.
        left: Batches of A, in the schema of the table.
        right: Batches of B, likewise.
        on_difference: Gets the differences, in the order of the key.
        strict: JSON documents are compared as text, and 0.0 differs from -0.0.
        limit: Hand over no more differences than this; all are counted.

    Raises:
        BundleDamagedError: a stream is not sorted, or holds a key twice.
    """
    merge = Merge(table, left, right, on_difference, strict=strict, limit=limit)
    while merge.step():
        pass
    return merge.counts


class Merge:
    """A comparison in steps: `step` until it says False, or until enough is known.

    Attributes:
        matched_rows: Rows (of both sides) that were matched by key, the slow way.
    """

    def __init__(  # noqa: PLR0913 - as compare_streams
        self,
        table: Table,
        left: Iterator[pa.RecordBatch],
        right: Iterator[pa.RecordBatch],
        on_difference: OnDifference,
        *,
        strict: bool = False,
        limit: int | None = None,
    ) -> None:
        self._table = table
        self._left = Cursor(table, left)
        self._right = Cursor(table, right)
        self._on_difference = on_difference
        self._strict = strict
        self._room = limit
        self._window = _WINDOW
        self._block = _LEAST
        self._same = self._only_left = self._only_right = self._differs = 0
        self.matched_rows = 0

    @property
    def counts(self) -> TableCounts:
        """Rows by outcome, so far."""
        return TableCounts(self._same, self._only_left, self._only_right, self._differs)

    def step(self) -> bool:
        """Compare some more rows; False when both streams have ended."""
        more_left, more_right = self._left.fill(), self._right.fill()
        if more_left and more_right:
            self._compare_window()
        elif more_left:
            self._one_side(self._left, ONLY_LEFT)
        elif more_right:
            self._one_side(self._right, ONLY_RIGHT)
        return more_left or more_right

    def _compare_window(self) -> None:
        length = min(self._left.left, self._right.left, self._window)
        if self._left.peek_bits(length).equals(self._right.peek_bits(length)):
            self._same += length
            self._left.advance(length)
            self._right.advance(length)
            self._window = min(self._window * 2, _WINDOW)
            self._block = _LEAST
        elif length > _LEAST:
            self._window = max(_LEAST, length // 4)
        else:
            self._window = _LEAST
            self._match_block()
            self._block = min(self._block * 2, _MOST)

    def _one_side(self, cursor: Cursor, sigil: Sigil) -> None:
        rows = cursor.peek(_MOST)
        if sigil == ONLY_LEFT:
            self._only_left += len(rows)
        else:
            self._only_right += len(rows)
        self._hand_over([(rows, np.arange(len(rows)), sigil)], None)
        cursor.advance(len(rows))

    def _match_block(self) -> None:
        """Match the next rows of both sides by key, up to the lesser of their last keys."""
        left, right = self._left.peek(self._block), self._right.peek(self._block)
        last_left, last_right = left.key(len(left) - 1), right.key(len(right) - 1)
        if last_left < last_right:
            right = right.slice(0, right.rows_up_to(last_left))
        elif last_right < last_left:
            left = left.slice(0, left.rows_up_to(last_right))
        self.matched_rows += len(left) + len(right)
        self._compare_block(left, right)
        self._left.advance(len(left))
        self._right.advance(len(right))

    def _compare_block(self, left: Rows, right: Rows) -> None:
        in_right, in_left = matches(left, right)
        pairs = Pairs(left, right, np.flatnonzero(in_right), np.flatnonzero(in_left))
        differ = pairs.differing(self._compared(), strict=self._strict)
        only_left, only_right = np.flatnonzero(~in_right), np.flatnonzero(~in_left)
        self._only_left += len(only_left)
        self._only_right += len(only_right)
        self._differs += len(differ)
        self._same += len(pairs) - len(differ)
        one_sided = [(left, only_left, ONLY_LEFT), (right, only_right, ONLY_RIGHT)]
        self._hand_over(one_sided, (pairs, differ))

    def _compared(self) -> list[Column]:
        """Columns that can differ between rows of equal keys."""
        shown = [column for column in self._table.columns if not column.generated]
        keys = frozenset() if self._strict else frozenset(self._table.key)
        return [column for column in shown if column.name not in keys]

    def _hand_over(
        self,
        one_sided: list[tuple[Rows, NDArray[np.int64], Sigil]],
        differing: tuple[Pairs, NDArray[np.int64]] | None,
    ) -> None:
        if self._room == 0:
            return
        found: list[tuple[Key, Difference]] = []
        for rows, places, sigil in one_sided:
            found.extend(
                (rows.key(row), Difference(self._table.name, sigil, self._key(rows, row)))
                for row in places[: self._room].tolist()
            )
        if differing is not None:
            pairs, places = differing
            found.extend(
                (pairs.key(pair), self._difference(pairs, pair))
                for pair in places[: self._room].tolist()
            )
        found.sort(key=lambda entry: entry[0])
        for _, difference in found[: self._room]:
            self._on_difference(difference)
        if self._room is not None:
            self._room = max(0, self._room - len(found))

    def _difference(self, pairs: Pairs, pair: int) -> Difference:
        columns = pairs.columns(pair, self._compared(), strict=self._strict)
        key = self._key(pairs.left, int(pairs.left_rows[pair]))
        return Difference(self._table.name, DIFFER, key, columns)

    def _key(self, rows: Rows, row: int) -> dict[str, object]:
        values = {name: rows.values.column(name)[row].as_py() for name in self._table.key}
        if is_keyless(self._table):  # then any text may be part of it, and be long
            return {name: excerpts(value, None)[0] for name, value in values.items()}
        return values


class Pairs:
    """Rows of both sides that have the same key."""

    def __init__(
        self,
        left: Rows,
        right: Rows,
        left_rows: NDArray[np.int64],
        right_rows: NDArray[np.int64],
    ) -> None:
        self.left = left
        self.left_rows = left_rows
        self._left_values = _take(left.values, left_rows)
        self._right_values = _take(right.values, right_rows)

    def __len__(self) -> int:
        return len(self.left_rows)

    def key(self, pair: int) -> Key:
        """The key of a pair, as it sorts."""
        return self.left.key(int(self.left_rows[pair]))

    def differing(self, columns: list[Column], *, strict: bool) -> NDArray[np.int64]:
        """The pairs that differ in any of the columns."""
        differ = np.zeros(len(self), dtype=np.bool_)
        for column in columns:
            mine, theirs = self._values(column.name)
            differ |= unequal(mine, theirs, column, strict=strict)
        return np.flatnonzero(differ)

    def columns(
        self, pair: int, columns: list[Column], *, strict: bool
    ) -> dict[str, tuple[object, object]]:
        """The columns in which a pair differs, with both values."""
        found: dict[str, tuple[object, object]] = {}
        for column in columns:
            mine, theirs = (values.slice(pair, 1) for values in self._values(column.name))
            if unequal(mine, theirs, column, strict=strict)[0]:
                found[column.name] = excerpts(mine[0].as_py(), theirs[0].as_py())
        return found

    def _values(self, name: str) -> tuple[pa.Array, pa.Array]:
        return self._left_values.column(name), self._right_values.column(name)


def matches(left: Rows, right: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows of each side have a key that the other side has too."""
    if not len(left) or not len(right):
        return np.zeros(len(left), dtype=np.bool_), np.zeros(len(right), dtype=np.bool_)
    mine, theirs = codes(left.keys, right.keys)
    in_right = np.isin(mine, theirs, assume_unique=True)
    return in_right, np.isin(theirs, mine, assume_unique=True)


def _take(values: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.RecordBatch:
    return values if len(rows) == values.num_rows else values.take(pa.array(rows))
