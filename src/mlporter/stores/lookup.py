"""Look up values in a sorted stream, asked for in the same order: a merge, not a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["SortedLookup"]


class SortedLookup:
    """Finds rows of a stream by their first column, in memory of one batch.

    Args:
        batches: Rows sorted by their first column, which is text.

    Keys must be asked for in ascending order (equal ones may repeat).
    """

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._rows = _rows(batches)
        self._current: tuple[Any, ...] | None = next(self._rows, None)

    def get(self, key: str) -> tuple[Any, ...] | None:
        """The other columns of the row with that key, or None."""
        while self._current is not None and self._current[0] < key:
            self._current = next(self._rows, None)
        if self._current is None or self._current[0] != key:
            return None
        return self._current[1:]


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
