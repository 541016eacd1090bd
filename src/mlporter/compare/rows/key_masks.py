"""Which rows have one of many keys: sorted once, and of each batch only those near it are asked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["KeyMask"]

_FEW = 1_000
"""Up to so many keys, all of them are asked for in each batch."""


class KeyMask:
    """Some keys, as they are looked for in batch after batch.

    Rows are sorted by their keys, as a rule: then a batch lies between few of them, and all
    batches together are looked through in time that grows with the rows and not with their square.

    Args:
        keys: Texts or numbers, all of one kind.
    """

    def __init__(self, keys: Collection[Any]) -> None:
        self._keys = keys
        self._sorted: pa.Array | None = None

    def of(self, column: pa.Array) -> pa.Array:
        """Which values of a column are among the keys; a NULL is not."""
        return pc.is_in(column, value_set=self._near(column))

    def _near(self, column: pa.Array) -> pa.Array:
        keys = self._all(column.type)
        if len(keys) <= _FEW:
            return keys
        bounds = pc.min_max(column)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is None:
            return keys.slice(0, 0)
        places = range(len(keys))
        start = bisect_left(places, low, key=lambda at: keys[at].as_py())
        end = bisect_right(places, high, start, key=lambda at: keys[at].as_py())
        return keys.slice(start, end - start)

    def _all(self, type_: pa.DataType) -> pa.Array:
        if self._sorted is None or self._sorted.type != type_:
            self._sorted = pa.array(sorted(self._keys), type_)
        return self._sorted
