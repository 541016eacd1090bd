"""Reading parts: nothing is decoded before its hash is right, or decoded beyond the limits."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import check_size, hash_stream, open_inside
from mlporter.bundle.folder.layout import MAX_GROUP_BYTES, MAX_GROUP_ROWS
from mlporter.bundle.tables.rows import first_reaching, row_sizes
from mlporter.closing import closed_on_error
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlporter.bundle.documents.manifest_entries import PartEntry
    from mlporter.catalogue.types import Table

__all__ = ["BATCH_ROWS", "PartFiles", "PartsInFolder", "decode_part", "read_part"]

BATCH_ROWS = 16_384
"""The most rows of a batch."""
_BATCH_BYTES = 16 * 2**20
"""Raw bytes after which a batch is cut; a single row may have more."""
_BUFFER = 64 * 2**10
"""Bytes of a column that are read from the file at a time: else it would be all of a row group."""
_METADATA_LIMIT = 64 * 2**20
_METADATA_ITEMS = 1_000_000


class PartFiles(Protocol):
    """Where the files of parts are."""

    @property
    def name(self) -> str:
        """The place, for what is said of it."""

    def open(self, part: PartEntry) -> BinaryIO:
        """The file of a part, which can be sought in; its size is right.

        Raises:
            BundleDamagedError: it is missing, or of another size.
            UnreachableError: it cannot be read.
        """


class PartsInFolder:
    """Parts at their paths below a folder: those of a bundle."""

    def __init__(self, root: Path) -> None:
        """Read below `root`."""
        self.root = root
        self.name = str(root)

    def open(self, part: PartEntry) -> BinaryIO:
        """The file of a part."""
        file = open_inside(self.root, part.path)
        with closed_on_error(file):
            check_size(self.root, part.path, file, part.bytes)
        return file


def read_part(
    files: PartFiles, table: Table, part: PartEntry, columns: tuple[str, ...] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of one part, with the schema of `table` or those `columns` of it.

    Raises:
        BundleDamagedError: its size, hash, schema or number of rows does not match the manifest,
            or it holds more than the format allows.
        UnreachableError: it cannot be read.
    """
    where = files.name
    with files.open(part) as file:
        with disk_errors(f"{where}/{part.path}", "read"):
            found = hash_stream(file)
            file.seek(0)
        if found != part.sha256:
            raise _damaged(where, part, "does not have the SHA-256 in the manifest")
        yield from decode_part(where, table, part, file, columns)


def decode_part(
    where: str,
    table: Table,
    part: PartEntry,
    file: BinaryIO,
    columns: tuple[str, ...] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a part whose bytes are known to be right. Raises as `read_part`."""
    rows = 0
    try:
        metadata = _open_parquet(file).metadata
        _check_metadata(where, table, part, metadata)
        names = list(columns) if columns is not None else table.schema.names
        schema = pa.schema([table.schema.field(name) for name in names])
        for group in range(metadata.num_row_groups):
            coded = _coded_texts(file, metadata, group, schema)
            parquet = _open_parquet(file, metadata=metadata, read_dictionary=coded)
            for batch in _read_group(parquet, group, schema, _too_large(where, part)):
                rows += batch.num_rows
                yield batch
    except (pa.ArrowException, OSError, ValueError) as error:
        what = str(error).partition("\n")[0][:200]
        raise _damaged(where, part, f"cannot be decoded: {what}") from error
    if rows != part.rows:
        raise _damaged(where, part, f"has {rows:,} rows, not {part.rows:,}")


def _open_parquet(file: BinaryIO, **options: object) -> pq.ParquetFile:
    return pq.ParquetFile(
        file,
        memory_map=False,
        pre_buffer=False,
        buffer_size=_BUFFER,
        thrift_string_size_limit=_METADATA_LIMIT,
        thrift_container_size_limit=_METADATA_ITEMS,
        **options,
    )


def _check_metadata(where: str, table: Table, part: PartEntry, metadata: pq.FileMetaData) -> None:
    if metadata.num_rows != part.rows:
        message = f"claims {metadata.num_rows:,} rows, not {part.rows:,}"
        raise _damaged(where, part, message)
    found, expected = _fields(metadata.schema.to_arrow_schema()), _fields(table.schema)
    if found != expected:
        wrong = sorted(set(map(str, found)) ^ set(map(str, expected)))
        what = ", ".join(wrong[:6]) or "their order"
        raise _damaged(where, part, f"does not have the columns that the manifest gives it: {what}")
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        sizes = [group.total_byte_size]
        sizes += [group.column(i).total_uncompressed_size for i in range(group.num_columns)]
        sound = 0 <= min(sizes) <= max(sizes) <= MAX_GROUP_BYTES
        if not sound or not 0 < group.num_rows <= MAX_GROUP_ROWS:
            raise _damaged(where, part, f"row group {index} is larger than the format allows")


def _coded_texts(
    file: BinaryIO, metadata: pq.FileMetaData, group: int, schema: pa.Schema
) -> list[str]:
    """Texts of a row group that are to be read as dictionaries, and decoded by us, in steps.

    A dictionary of one long text, named by each row, would otherwise be a small file that fills
    the memory. Where all texts of a dictionary are short it cannot be, and ids that are all
    different take three times as much memory as a dictionary as they do themselves.
    """
    coded = [field.name for field in schema if _is_bytes(field.type)]
    parquet = _open_parquet(file, metadata=metadata, read_dictionary=coded)
    room = _BATCH_BYTES
    for name in tuple(coded):
        (first,) = islice(parquet.iter_batches(1, [group], [name], use_threads=False), 1)
        size = BATCH_ROWS * _longest(first.column(0).dictionary)
        if size <= room:
            room -= size
            coded.remove(name)
    return coded


def _longest(dictionary: pa.Array) -> int:
    """The most bytes that a text of a column has by its dictionary, of which this is the start.

    The first row of a column brings all of its dictionary, of which Parquet allows one. A single
    text may be that row's own, and a dictionary may follow: then nothing is known.
    """
    if len(dictionary) < 2:  # noqa: PLR2004 -- as the docstring says
        return MAX_GROUP_BYTES
    longest: int = pc.max(pc.binary_length(dictionary)).as_py()
    return longest


def _read_group(
    parquet: pq.ParquetFile,
    group: int,
    schema: pa.Schema,
    too_large: Callable[[], BundleDamagedError],
) -> Iterator[pa.RecordBatch]:
    raw = at_most = 0
    for batch in parquet.iter_batches(BATCH_ROWS, [group], schema.names, use_threads=False):
        at_most += _most_bytes(batch)
        if at_most <= _BATCH_BYTES:  # as almost always; and then it need not be known exactly
            yield _decode(batch, schema)
            continue
        sizes = row_sizes(batch)
        for start, length in _steps(sizes):
            raw += pc.sum(sizes.slice(start, length)).as_py()
            if raw > MAX_GROUP_BYTES:
                raise too_large()
            yield _decode(batch.slice(start, length), schema)


def _most_bytes(batch: pa.RecordBatch) -> int:
    """Raw bytes that the batch has at most: as if each text were all texts of its dictionary."""
    rows = batch.num_rows
    sizes = [
        c.dictionary.nbytes * rows if pa.types.is_dictionary(c.type) else c.nbytes
        for c in batch.columns
    ]
    return int(sum(sizes) + 8 * batch.num_columns * rows)


def _steps(sizes: pa.Array) -> Iterator[tuple[int, int]]:
    """Slices of at most `_BATCH_BYTES` raw bytes, or of a single row."""
    start = 0
    sums = pc.cumulative_sum(sizes)
    done = 0
    while start < len(sizes):
        end = max(first_reaching(sums, done + _BATCH_BYTES + 1), start + 1)
        yield start, end - start
        done = sums[end - 1].as_py()
        start = end


def _decode(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_plain(batch.column(field.name)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(column: pa.Array) -> pa.Array:
    """A column without its dictionary, and with texts that are UTF-8."""
    if not pa.types.is_dictionary(column.type):
        column.validate(full=True)
        return column
    column.dictionary.validate(full=True)
    return column.dictionary_decode()


def _fields(schema: pa.Schema) -> list[tuple[str, pa.DataType, bool]]:
    return [(field.name, field.type, field.nullable) for field in schema]


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _too_large(where: str, part: PartEntry) -> Callable[[], BundleDamagedError]:
    return lambda: _damaged(where, part, "a row group is larger than the format allows")


def _damaged(where: str, part: PartEntry, what: str) -> BundleDamagedError:
    return BundleDamagedError(f"{part.path} {what}", subject=where)
