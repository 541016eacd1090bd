"""Look up values in a sorted stream, asked for in about the same order: no dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

__all__ = ["SortedLookup"]


class SortedLookup:
    """Finds rows of a stream by their first column, in memory of one batch.

    Args:
        read: Begins the stream: rows sorted by their first column, which is text.

    Keys are best asked for in ascending order (equal ones may repeat): then the stream is read
    once. For one that lies before the last one, it is begun again.
    """

    def __init__(self, read: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self._read = read
        self._begin()

    def _begin(self) -> None:
        self._rows = _rows(self._read())
        self._current: tuple[Any, ...] | None = next(self._rows, None)
        self._last = ""

    def get(self, key: str) -> tuple[Any, ...] | None:
        """The other columns of the row with that key, or None."""
        if key < self._last:
            self._begin()
        self._last = key
        while self._current is not None and self._current[0] < key:
            self._current = next(self._rows, None)
        if self._current is None or self._current[0] != key:
            return None
        return self._current[1:]


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
