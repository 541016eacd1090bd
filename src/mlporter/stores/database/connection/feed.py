"""Batches on their way to a driver, or to other threads, and what went wrong with them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from threading import Condition
from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["Feed", "Handover"]

_AT_ONCE = 4096
"""Rows that are handed to a driver together. PostgreSQL's makes them all ready, and then waits
until the server has taken them: so the server works on some while the next are made ready."""


class Feed:
    """Batches on their way through a C stream, which would turn their errors into plain text."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = (some for batch in batches for some in slices(batch, _AT_ONCE))
        self.rows = 0
        self.error: BaseException | None = None
        self.stopped = False

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> pa.RecordBatch:
        if self.stopped:
            self.error = KeyboardInterrupt()
            raise self.error
        try:
            batch = next(self._batches)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise
        self.rows += batch.num_rows
        return batch


class Handover:
    """Batches on their way from one thread to others, which take them in turn."""

    def __init__(self, most: int) -> None:
        """Nothing is on its way.

        Args:
            most: How many wait to be taken; whoever puts one more in waits, too.
        """
        self._most = most
        self._batches: deque[pa.RecordBatch] = deque()
        self._changed = Condition()
        self._ended = self._given_up = False
        self._error: BaseException | None = None

    @property
    def given_up(self) -> bool:
        """Whether nobody takes any more."""
        return self._given_up

    def put(self, batch: pa.RecordBatch) -> bool:
        """Put one in, as soon as there is room; False if nobody takes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or len(self._batches) < self._most)
            self._batches.append(batch)
            self._changed.notify_all()
            return not self._given_up

    def end(self, error: BaseException | None = None) -> None:
        """There are no more; maybe an error, once all have been taken."""
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Nobody takes any, and none is given any more."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Those that nobody else took, as they come.

        Raises:
            CancelledError: it was given up.
        """
        while (batch := self._next()) is not None:
            yield batch

    def _next(self) -> pa.RecordBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._batches or self._ended)
            if self._given_up:
                raise CancelledError
            if self._batches:
                self._changed.notify_all()
                return self._batches.popleft()
        if self._error is not None:
            raise self._error
        return None
