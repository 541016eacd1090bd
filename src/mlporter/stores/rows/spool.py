"""Rows that are needed again, kept out of memory; and values looked up in sorted ones."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.bundle.tables.rows import python_rows
from mlporter.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

__all__ = ["RowSpool", "SortedLookup"]

_IN_MEMORY = 2 << 20
"""Bytes from which on rows go to a file."""


class RowSpool:
    """Batches of one schema: a few in memory, more in a file without a name.

    Attributes:
        complete: Whether all that will come is there, so that it can be read.
    """

    def __init__(self) -> None:
        """Nothing is kept at first."""
        self._few: list[pa.RecordBatch] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.complete = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch.

        Raises:
            UnreachableError: there is no room in the temporary folder.
        """
        self._few.append(batch)
        self._bytes += batch.nbytes
        if self._bytes > _IN_MEMORY or self._writer is not None:
            with _disk_errors():
                self._flush(batch.schema)

    def _flush(self, schema: pa.Schema) -> None:
        if self._writer is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, schema, options=options)
        for batch in self._few:
            self._writer.write_batch(batch)
        self._few.clear()

    def end(self) -> None:
        """Nothing more will come: from now on it can be read.

        Raises:
            UnreachableError: there is no room in the temporary folder.
        """
        if self._writer is not None and self._file is not None:
            with _disk_errors():
                self._writer.close()
                self._file.flush()
        self.complete = True

    def read(self) -> Iterator[pa.RecordBatch]:
        """All batches; by one reader at a time."""
        if self._file is None:
            yield from self._few
            return
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as stream:
            yield from stream

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches on and keep them; it is complete when they have all gone by."""
        for batch in batches:
            self.add(batch)
            yield batch
        self.end()

    def close(self) -> None:
        """Forget everything."""
        self._few.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreachableError(
            f"rows cannot be kept in a temporary file: {error.strerror or error}",
            subject=tempfile.gettempdir(),
            hint="set TMPDIR to a folder that has room",
        ) from error


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
        yield from python_rows(batch)
