"""Rows between Arrow and MySQL's wire: pure functions, by columns and not by values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.database.connection.connection import misfit, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.catalogue.types import Column

__all__ = ["Chunks", "literals", "statements"]

_CHUNK_BYTES = 8 << 20
_LEAST_ROWS, _MOST_ROWS = 16, 65_536
_PIECE_BYTES = 64 << 20


class _Rows(Protocol):
    """A cursor whose rows are bytes, or None, for each column."""

    def fetchone(self) -> tuple[bytes | None, ...] | None: ...

    def fetchmany(self, size: int) -> Sequence[tuple[bytes | None, ...]]: ...


class Chunks:
    """The rows of a cursor as record batches of bounded size.

    Texts and numbers are all text here, as MySQL sends them; `conform` parses them. If `raw` is
    asked for they are bytes, whatever they are.
    """

    def __init__(
        self, columns: tuple[Column, ...], cursor: _Rows, subject: str, *, raw: bool = False
    ) -> None:
        self._cursor = cursor
        self._subject = subject
        self._names = [c.name for c in columns]
        are_bytes = (raw or pa.types.is_binary(c.type) for c in columns)
        self._types = [pa.binary() if is_bytes else pa.string() for is_bytes in are_bytes]
        self._long = [n for n, c in enumerate(columns) if c.cap is None and not _fixed(c.type)]
        longest = sum(c.cap or 0 for c in columns) + 16 * len(columns)
        self._most = max(_LEAST_ROWS, min(_MOST_ROWS, _CHUNK_BYTES // longest))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while rows := self._take():
            columns: Iterator[tuple[Any, ...]] = zip(*rows, strict=True)
            try:
                arrays = [
                    pa.array(values, kind)
                    for values, kind in zip(columns, self._types, strict=True)
                ]
            except pa.ArrowInvalid as error:  # a BLOB where there should be a TEXT
                raise misfit(error, self._subject) from error
            yield pa.RecordBatch.from_arrays(arrays, names=self._names)

    def _take(self) -> Sequence[tuple[bytes | None, ...]]:
        if not self._long:
            return self._cursor.fetchmany(self._most)
        rows: list[tuple[bytes | None, ...]] = []
        size = 0
        while len(rows) < self._most and size < _CHUNK_BYTES:
            row = self._cursor.fetchone()
            if row is None:
                break
            rows.append(row)
            size += sum(len(row[n] or b"") for n in self._long)
        return rows


def _fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind))


def statements(table: str, batch: pa.RecordBatch, limit: int, subject: str) -> Iterator[bytes]:
    """INSERTs of all rows, each of at most `limit` bytes, unless a single row is longer.

    Raises:
        UnreachableError: a value that SQL has no word for (NaN, infinity).
    """
    names = ", ".join(quoted(name) for name in batch.schema.names)
    head = f"INSERT INTO {quoted(table)} ({names}) VALUES ".encode()
    for piece in _pieces(batch):
        rows = literals(piece, subject)
        lengths = pc.binary_length(rows).to_numpy(zero_copy_only=False).astype(np.int64)
        ends = np.cumsum(lengths + 1)
        begin = 0
        while begin < len(ends):
            before = ends[begin - 1] if begin else 0
            end = int(np.searchsorted(ends, before + limit - len(head), side="right"))
            end = max(end, begin + 1)
            yield head + b",".join(rows.slice(begin, end - begin).to_pylist())
            begin = end


def literals(batch: pa.RecordBatch, subject: str) -> pa.Array:
    """Each row as ``(1,'text',NULL)``, in bytes; their lengths are what a packet must hold."""
    columns = [_literal(batch.column(n), subject) for n in range(batch.num_columns)]
    joined = pc.binary_join_element_wise(*columns, ",") if len(columns) > 1 else columns[0]
    return pc.binary_join_element_wise("(", joined, ")", "").cast(pa.binary())


def _literal(values: pa.Array, subject: str) -> pa.Array:
    """Values as SQL, quoted as in standard SQL, which our sessions keep to."""
    kind = values.type
    if pa.types.is_boolean(kind):
        text = pc.if_else(values, "1", "0")
    elif pa.types.is_integer(kind):
        text = values.cast(pa.string())
    elif pa.types.is_floating(kind):
        text = _floats(values, subject)
    elif pa.types.is_binary(kind):
        words = [None if v is None else f"x'{v.hex()}'" for v in values.to_pylist()]
        text = pa.array(words, pa.string())
    else:
        doubled = pc.replace_substring(values.cast(pa.string()), "'", "''")
        text = pc.binary_join_element_wise("'", doubled, "'", "")
    return pc.fill_null(text, "NULL")


def _floats(values: pa.Array, subject: str) -> pa.Array:
    """Floats with an exponent, which makes them floats; without one they are decimals."""
    if pc.any(pc.invert(pc.is_finite(values))).as_py():
        raise misfit(ValueError("NaN and infinity are no values of MySQL"), subject)
    text = values.cast(pa.string())
    return pc.if_else(
        pc.match_substring(text, "e"), text, pc.binary_join_element_wise(text, "e0", "")
    )


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices whose texts, quoted, stay far below what an Arrow array holds."""
    if batch.nbytes <= _PIECE_BYTES or batch.num_rows <= 1:
        if batch.num_rows:
            yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))
