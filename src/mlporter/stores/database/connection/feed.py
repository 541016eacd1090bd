"""Batches on their way to a driver, and what went wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.tables.rows import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["Feed"]

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
