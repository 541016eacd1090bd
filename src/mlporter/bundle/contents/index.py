"""Where every content is: in which pack and where in it, or alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.contents.packs import HEADER, LARGEST_OFFSET, SMALL
from mlporter.bundle.folder.layout import SHA256
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.tables.own import CONTENTS
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.bundle.contents.packs import Member

__all__ = [
    "ContentIndex",
    "Location",
    "Row",
    "contents_rows",
    "index_bytes",
    "read_index",
    "row_of",
    "what_is_wrong",
]

Row = tuple[str, str, int, int]
"""SHA-256 (hex), that of the pack or "", offset, bytes."""


_DIGITS = 6
"""Of a SHA-256: of each that starts with none of those seen, it is known at once that it is new."""


class Location(NamedTuple):
    """Where a content is: SHA-256 of its pack ("" if it lies alone), offset in it, and bytes."""

    pack: str
    offset: int
    size: int


def contents_rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of a batch of the table ``contents``."""
    yield from python_rows(batch, CONTENTS.schema.names)


def row_of(pack: str, member: Member) -> Row:
    """The row of a content that is in a pack."""
    return member.sha256, pack, member.offset, member.size


def what_is_wrong(sha256: str, pack: str, offset: int, size: int) -> str | None:
    """What a row of ``contents`` has that no writer writes, or None."""
    if not SHA256.fullmatch(sha256) or size < 0:
        return "has no SHA-256 or no size"
    if not pack:
        return "lies alone, and has an offset" if offset else None
    if not SHA256.fullmatch(pack):
        return "is in a pack without a SHA-256"
    if size >= SMALL or not HEADER <= offset <= LARGEST_OFFSET or offset % HEADER:
        return "is where no content of a pack can be"
    return None


class ContentIndex:
    """Contents by SHA-256, in a temporary file. Safe for several threads."""

    def __init__(self) -> None:
        self._scratch = Scratch(
            "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, pack TEXT, start INTEGER,"
            " size INTEGER) WITHOUT ROWID"
        )
        self._seen = bytearray(2 ** (4 * _DIGITS - 3))

    def add(self, rows: Iterable[Row]) -> None:
        """Take contents: SHA-256, pack, offset, bytes. One that is known stays where it is."""
        self._scratch.run_many(
            "INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?)", self._noted(rows)
        )

    def _noted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            bit = int(row[0][:_DIGITS], 16)
            self._seen[bit >> 3] |= 1 << (bit & 7)
            yield row

    def add_batch(self, batch: pa.RecordBatch) -> None:
        """Take rows of the table ``contents``."""
        self.add(contents_rows(batch))

    def remove(self, contents: Iterable[str]) -> None:
        """Forget contents."""
        self._scratch.run_many("DELETE FROM contents WHERE sha256=?", ((c,) for c in contents))

    def find(self, sha256: str) -> Location | None:
        """Where a content is."""
        bit = int(sha256[:_DIGITS], 16)
        if not self._seen[bit >> 3] & 1 << (bit & 7):
            return None
        row = self._scratch.one("SELECT pack, start, size FROM contents WHERE sha256=?", sha256)
        return Location(*row) if row else None

    def rows(self) -> Iterator[Row]:
        """All contents, sorted; for one thread, after all adding."""
        yield from self._scratch.rows(
            "SELECT sha256, pack, start, size FROM contents ORDER BY sha256"
        )

    def close(self) -> None:
        """Free the temporary space."""
        self._scratch.close()


def index_bytes(rows: Iterable[Row]) -> bytes:
    """A piece of an index: a Parquet file with rows of the table ``contents``, sorted."""
    columns = zip(*sorted(rows), strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CONTENTS.schema, strict=True)]
    found = pa.Table.from_arrays(arrays, schema=CONTENTS.schema)
    file = io.BytesIO()
    pq.write_table(found, file, compression="zstd", store_schema=False)
    return file.getvalue()


def read_index(file: BinaryIO, where: str) -> Iterator[pa.RecordBatch]:
    """The rows of a piece of an index, whose bytes are known to be right.

    Raises:
        BundleDamagedError: it is none.
    """
    try:
        parquet = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
        for batch in parquet.iter_batches(columns=CONTENTS.schema.names):
            yield batch.cast(CONTENTS.schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).partition("\n")[0][:200]
        raise BundleDamagedError(f"cannot be decoded: {what}", subject=where) from error
