"""Tables whose rows belong to runs, kept as Arrow batches in a file, with an index by run.

Metrics make up nearly all of a large store. They come sorted within each run, so that sorting the
runs by their ids sorts everything, and no database has to.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.tables.rows import joined
from mlporter.catalogue import BY_NAME
from mlporter.stores.rows.filters import columns_with, rows_among

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlporter.stores.protocols import Among

__all__ = ["RunTable"]

_RUN = "run_uuid"
_MOST_ROWS = 65_536
_FEWEST_ROWS = 16_384
"""Of a batch that is read, unless it is the last: some are in memory at a time."""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class RunTable:
    """One table, in a temporary file: appended run by run, read sorted by run.

    Args:
        name: The catalogue's name of the table.
        runs: The ids of all runs in the order in which they are appended; shared by all tables.
        folder: Where the file goes.
    """

    def __init__(self, name: str, runs: list[str], folder: Path) -> None:
        self.table = BY_NAME[name]
        self.rows = 0
        self._runs = runs
        self._starts = array("q")
        self._lengths = array("q")
        self._batches = array("q")
        """The first row of each batch."""
        self._path = str(folder / f"{name}.arrow")
        self._file = pa.OSFile(self._path, "wb")
        self._writer = pa.ipc.new_file(self._file, self.table.schema, options=_OPTIONS)
        self._reader: pa.ipc.RecordBatchFileReader | None = None
        self._order: list[int] = []

    def append(self, batches: Sequence[pa.RecordBatch], lengths: Sequence[int]) -> None:
        """The rows of further runs, and how many of them each has."""
        start = self.rows
        for batch in batches:
            for begin in range(0, batch.num_rows, _MOST_ROWS):
                self._batches.append(self.rows)
                part = batch.slice(begin, _MOST_ROWS)
                self._writer.write_batch(part)
                self.rows += part.num_rows
        for length in lengths:
            self._starts.append(start)
            self._lengths.append(length)
            start += length

    def finish(self, order: list[int]) -> None:
        """End the appending; `order` is that of the runs by id."""
        self._writer.close()
        self._file.close()
        self._order = order
        self._file = pa.OSFile(self._path, "rb")
        self._reader = pa.ipc.open_file(self._file)

    def read(
        self, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows sorted by the table's key: all, or those in `among`."""
        if among is None:
            yield from self._selected(self._order, columns)
        elif among.column == _RUN:
            yield from self._selected(self._places(among.values), columns)
        else:
            wanted = columns_with(self.table, columns, among)
            yield from rows_among(self._selected(self._order, wanted), columns, among)

    def _places(self, runs: Sequence[str] | Sequence[int]) -> list[int]:
        """Where in the index some runs are, which are sorted as the index is."""
        found = []
        for run in runs:
            place = bisect_left(self._order, str(run).encode(), key=self._id)
            if place < len(self._order) and self._id(self._order[place]) == str(run).encode():
                found.append(self._order[place])
        return found

    def _id(self, place: int) -> bytes:
        return self._runs[place].encode()

    def _selected(
        self, places: Sequence[int], columns: tuple[str, ...] | None
    ) -> Iterator[pa.RecordBatch]:
        pending: list[pa.RecordBatch] = []
        rows = 0
        for start, length in self._stretches(places):
            for batch in self._slices(start, length):
                pending.append(batch if columns is None else batch.select(list(columns)))
                rows += batch.num_rows
                if rows >= _FEWEST_ROWS:
                    yield joined(pending)
                    pending, rows = [], 0
        if pending:
            yield joined(pending)

    def _stretches(self, places: Sequence[int]) -> Iterator[tuple[int, int]]:
        """First rows and lengths, those that follow one another as one."""
        begin = end = 0
        for place in places:
            start, length = self._starts[place], self._lengths[place]
            if not length:
                continue
            if start != end:
                if end > begin:
                    yield begin, end - begin
                begin = start
            end = start + length
        if end > begin:
            yield begin, end - begin

    def _slices(self, start: int, length: int) -> Iterator[pa.RecordBatch]:
        """The rows of a stretch, batch by batch."""
        if self._reader is None:
            raise ValueError("the table is not finished")
        number = bisect_right(self._batches, start) - 1
        end = start + length
        while start < end:
            batch = self._reader.get_batch(number)
            begin = start - self._batches[number]
            part = batch.slice(begin, end - start)
            yield part
            start += part.num_rows
            number += 1

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
