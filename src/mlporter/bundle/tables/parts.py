"""Writing tables as Parquet parts whose bytes depend on the rows and on nothing else."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlporter.bundle.folder.atomic import AtomicFile, disk_errors, make_folder
from mlporter.bundle.folder.layout import (
    GROUP_BYTES,
    GROUP_ROWS,
    MAX_GROUP_BYTES,
    part_limit,
    part_path,
)
from mlporter.bundle.tables.rows import OrderCheck, first_change, first_reaching, row_sizes
from mlporter.errors import MlporterError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mlporter.catalogue.types import Table

__all__ = ["TYPES", "Part", "PartWriter"]

_COMPRESSION_LEVEL = 3

TYPES = {
    str(kind): kind
    for kind in (
        pa.bool_(),
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
        pa.float32(),
        pa.float64(),
        pa.string(),
        pa.binary(),
        pa.date32(),
    )
}
"""The Arrow types that a bundle holds, by the name that the manifest gives them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file of a table: path relative to the bundle, rows, bytes on disk, SHA-256."""

    path: str
    rows: int
    bytes: int
    sha256: str


class PartWriter:
    """Writes one table into parts; `write` is the whole of it.

    A row group is closed by the row with which it has `GROUP_ROWS` rows or `GROUP_BYTES` raw
    bytes. A part that has `part_limit` raw bytes is closed before the next row whose first key
    column differs from its forerunner's. Both depend on the rows alone. Memory is bounded by one
    row group and one incoming batch.
    """

    def __init__(
        self,
        root: Path,
        table: Table,
        *,
        private: bool = False,
        first: int = 0,
        durable: bool = True,
    ) -> None:
        """Write parts of `table` below `root`, the bundle's directory, numbered from `first` on.

        With `private` nobody but their owner can read them; without `durable` nothing is synced.

        Raises:
            UnsupportedError: a column has a type, or the table a name, that a bundle cannot hold.
        """
        self._root = root
        self._table = table
        self._order = OrderCheck(table.key, repeats=table.repeats)
        self._parts: list[Part] = []
        self._private = private
        self._durable = durable
        self._first = first
        self._open: _OpenPart | None = None
        self._run: pa.Array | None = None
        self._folder = (root / part_path(table.name, 0)).parent
        _check_table(table, self._folder.name)

    def write(self, batches: Iterable[pa.RecordBatch]) -> list[Part]:
        """Write all rows of the table, sorted strictly by its key; an empty table has no parts.

        Raises:
            UnreachableError: the disk is full or fails.
            UnsupportedError: a row is longer than 1 GiB.
            MlporterError: the rows are not sorted, or not of the table's schema: a bug of the
                source. What `batches` itself raises is passed on. The part being written is
                removed then, and those before it stay.
        """
        try:
            for batch in batches:
                self._check(batch)
                self._add(batch)
            self._close_part()
        finally:
            if self._open:
                self._open.discard()
        return self._parts

    def _check(self, batch: pa.RecordBatch) -> None:
        name = self._table.name
        if batch.schema != self._table.schema:
            message = f"rows of {name} have schema [{_short(batch.schema)}]"
            raise MlporterError(message, hint=f"expected [{_short(self._table.schema)}]")
        wrong = self._order.first_wrong(batch)
        if wrong is not None:
            key = {column: batch.column(column)[wrong].as_py() for column in self._table.key}
            message = f"rows of {name} are not sorted, or not unique, by their key at {key}"
            raise MlporterError(message, subject=name)

    def _add(self, batch: pa.RecordBatch) -> None:
        while batch.num_rows:
            if self._open is None:
                how = {"private": self._private, "durable": self._durable}
                make_folder(self._folder, **how)
                self._open = _OpenPart(self._folder, self._table.schema, **how)
            if self._open.raw_bytes < part_limit(len(self._parts)):
                taken = self._open.add(batch, part_limit(len(self._parts)))
            elif run := self._rest_of_run(batch):
                taken = self._open.add(batch.slice(0, run), None)
            else:
                self._close_part()
                continue
            self._remember(batch, taken)
            batch = batch.slice(taken)

    def _rest_of_run(self, batch: pa.RecordBatch) -> int:
        """How many rows at the start belong to the run of the row before; 0 without a key."""
        if self._run is None:
            return 0
        return first_change(batch.column(self._table.key[0]), self._run)

    def _remember(self, batch: pa.RecordBatch, taken: int) -> None:
        if self._table.key:
            column = batch.column(self._table.key[0])
            self._run = pa.array([column[taken - 1].as_py()], column.type)

    def _close_part(self) -> None:
        if self._open:
            path = part_path(self._table.name, self._first + len(self._parts))
            self._parts.append(self._open.close(self._root, path))
            self._open = None


class _OpenPart:
    """The part being written, and the rows that will be its next row group."""

    def __init__(self, folder: Path, schema: pa.Schema, *, private: bool, durable: bool) -> None:
        self.raw_bytes = 0
        self._rows = 0
        self._group: list[pa.RecordBatch] = []
        self._group_rows = 0
        self._group_bytes = 0
        with disk_errors(folder):
            self._file = AtomicFile(folder, private=private, durable=durable)
        self._parquet = pq.ParquetWriter(
            self._file,
            schema,
            version="2.6",
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=_repeating(schema),
            write_statistics=True,
            # Arrow's own copy of the schema would be one more thing to trust, and to change.
            store_schema=False,
        )

    def add(self, batch: pa.RecordBatch, limit: int | None) -> int:
        """Take rows until the row group is full or the part reaches `limit`; returns how many."""
        batch = batch.slice(0, GROUP_ROWS - self._group_rows)
        sums = pc.cumulative_sum(row_sizes(batch))
        room = GROUP_BYTES - self._group_bytes
        if limit is not None:
            room = min(room, limit - self.raw_bytes)
        taken: int = min(first_reaching(sums, room) + 1, batch.num_rows)
        size: int = sums[taken - 1].as_py()
        self._group.append(batch.slice(0, taken))
        self._group_rows += taken
        self._group_bytes += size
        self.raw_bytes += size
        if self._group_rows == GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
            self._flush()
        return taken

    def _flush(self) -> None:
        if self._group_bytes > MAX_GROUP_BYTES:
            raise UnsupportedError("a row is longer than the 1 GiB that a bundle can hold")
        if self._group:
            table = pa.Table.from_batches(self._group).combine_chunks()
            self._group = []  # it was copied
            self._parquet.write_table(table, row_group_size=self._group_rows)
        self._rows += self._group_rows
        self._group, self._group_rows, self._group_bytes = [], 0, 0
        # Else Arrow keeps what each thread has once used, and more of it the longer a table is.
        pa.default_memory_pool().release_unused()

    def close(self, root: Path, path: str) -> Part:
        self._flush()
        self._parquet.close()
        self._file.commit(root / path)
        return Part(path, self._rows, self._file.size, self._file.sha256)

    def discard(self) -> None:
        # The writer ends its file as it closes, which fails again where writing failed before.
        with contextlib.suppress(OSError, pa.ArrowException, MlporterError):
            self._parquet.close()
        self._file.discard()


def _check_table(table: Table, folder: str) -> None:
    if len(folder) > 200:  # noqa: PLR2004 - as PART_PATH has it
        raise UnsupportedError("a table's name is too long for a bundle", subject=table.name)
    for field in table.schema:
        if str(field.type) not in TYPES:
            message = f"column {field.name} has type {field.type}, which a bundle does not hold"
            raise UnsupportedError(message, subject=table.name)


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns worth a dictionary: all but floats, which hardly repeat.

    Looking for repetitions took half of the time for `metrics` or more, and made its files larger.
    """
    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _short(schema: pa.Schema) -> str:
    return ", ".join(f"{f.name} {f.type}{'' if f.nullable else ' not null'}" for f in schema)
