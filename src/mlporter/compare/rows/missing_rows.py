"""Which rows one side has and the other lacks, or has otherwise: the merge, giving whole rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlporter.compare.report import ONLY_LEFT
from mlporter.compare.rows.shape import Shaper
from mlporter.compare.rows.streams import Merge, Pairs, matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Sigil
    from mlporter.compare.rows.cursor import Cursor, Rows
    from mlporter.compare.rows.shape import Normalise, Pair

__all__ = ["Missing", "MissingRows"]


@dataclass(frozen=True)
class Missing:
    """Rows of the left side, with all columns.

    Attributes:
        rows: In the order of the key.
        changed: False where the right side has no such row; True where it has another one.
    """

    rows: pa.RecordBatch
    changed: bool


class MissingRows:
    """Rows of the left side that the right side does not have as they are, as a stream.

    Args:
        pair: Which columns are compared.
        left: All columns, sorted by the key.
        right: At least the columns of the pair, likewise.
        normalisers: What is done to both sides before they are compared.

    Attributes:
        same: Rows found equal so far.
    """

    def __init__(
        self,
        pair: Pair,
        left: Iterator[pa.RecordBatch],
        right: Iterator[pa.RecordBatch],
        normalisers: Sequence[Normalise] = (),
    ) -> None:
        if pair.left is None or pair.right is None:
            raise ValueError("both sides must have the table")
        self._left = left
        self._shaper = Shaper(pair, pair.left, pair.right)
        self._normalisers = normalisers
        other = Shaper(pair, pair.right, pair.left)
        self._whole: pa.RecordBatch | None = None
        self._merge = _Places(pair.table, self._shaped(), other.shape(right, normalisers))

    @property
    def same(self) -> int:
        """Rows found equal so far."""
        return self._merge.counts.same

    def _shaped(self) -> Iterator[pa.RecordBatch]:
        for batch in self._left:
            if batch.num_rows:
                self._whole = batch
                yield from self._shaper.shape(iter((batch,)), self._normalisers)

    def __iter__(self) -> Iterator[Missing]:
        while self._merge.step():
            for places, changed in self._merge.take():
                if self._whole is not None:
                    yield Missing(self._whole.take(pa.array(places)), changed)


class _Places(Merge):
    """The merge, telling where in the batch at hand the rows are that the right side lacks."""

    def __init__(
        self, table: Table, left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
    ) -> None:
        super().__init__(table, left, right, lambda _: None, limit=0)
        self._found: list[tuple[NDArray[np.int64], bool]] = []

    def take(self) -> list[tuple[NDArray[np.int64], bool]]:
        """What was found since the last time."""
        found, self._found = self._found, []
        return found

    def _one_side(self, cursor: Cursor, sigil: Sigil) -> None:
        before = cursor.position
        super()._one_side(cursor, sigil)
        if sigil == ONLY_LEFT:
            self._found.append((np.arange(before, cursor.position), False))

    def _compare_block(self, left: Rows, right: Rows) -> None:
        super()._compare_block(left, right)
        in_right, in_left = matches(left, right)
        pairs = Pairs(left, right, np.flatnonzero(in_right), np.flatnonzero(in_left))
        differ = pairs.left_rows[pairs.differing(self._compared(), strict=False)]
        at = self._left.position
        for places, changed in ((np.flatnonzero(~in_right), False), (differ, True)):
            if len(places):
                self._found.append((places + at, changed))
