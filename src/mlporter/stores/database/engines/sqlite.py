"""SQLite: read-only connections, a snapshot while others write, and how to make ADBC see types."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import adbc_driver_manager
import adbc_driver_sqlite.dbapi
import pyarrow as pa

from mlporter.artifacts.disk.presence import is_there
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.closing import closed_on_error
from mlporter.errors import (
    AccessDeniedError,
    MlporterError,
    RefusedError,
    UnreachableError,
)
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.database.connection.connection import (
    AdbcConnection,
    driver_error,
    quoted,
)
from mlporter.stores.database.connection.ties import unsettled
from mlporter.stores.database.connection.values import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.connection.values import Raw

__all__ = ["SqliteDialect", "WalFiles", "begin_writing", "open_reader", "open_writer"]
__all__ += ["check_file", "needs_copy", "open_scratch", "why_unreadable"]

_BATCH_BYTES = 16 << 20
_LONG_TEXT = 1 << 20
"""Bytes that a text without a limit (a span, say) is taken to have."""
_LEAST_ROWS, _MOST_ROWS = 16, 16_384
_WAL_FORMAT = 2
_HEADER = b"SQLite format 3\x00"
_BUSY_MILLISECONDS = 60_000
_BEGIN_MILLISECONDS = 5_000
"""MLflow's own transactions take less; another import takes longer than anybody wants to wait."""
_WRITE_CACHE_KIB = 16 * 1024
"""Rows come in another order than that of the indexes; SQLite's own 2 MB make that many writes."""

_SCRATCH_CACHE_KIB = 32 * 1024


class SqliteDialect:
    """SQLite's way of saying things."""

    name = "sqlite"

    def select(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> str:
        """All rows by key, behind one made-up row that tells the driver the types.

        SQLite's values have types, its columns don't, so the driver guesses from the first
        batch and fails where a column starts with NULLs. ``LIMIT -1`` keeps SQLite from dropping
        the inner ORDER BY. JSON columns have numeric affinity: a document ``1`` is stored as an
        integer, and is cast back to text.

        Rows lie in the order of their numbers: to follow an index, and to look each one up, takes
        twice as long.
        """
        examples = ", ".join(f"{_example(c.type)} AS {quoted(c.name)}" for c in columns)
        names = ", ".join(_name(c) for c in columns)
        sorts = [name for name in table.order if name not in unsettled(table, columns, relation)]
        order = ", ".join(f"{quoted(name)}{_nulls(table)}" for name in sorts)
        if as_lying and table.kind is not Kind.UNKNOWN:  # another program's may have no numbers
            order = "rowid"
        rows = f"{relation or quoted(table.name)} {where}"
        inner = f"SELECT {names} FROM {rows} ORDER BY {order} LIMIT -1"
        return f"SELECT {examples} UNION ALL SELECT * FROM ({inner})"

    def unsettled(
        self, table: Table, columns: tuple[Column, ...], relation: str
    ) -> tuple[str, ...]:
        """What an index does not sort by: SQLite would sort anew."""
        return unsettled(table, columns, relation)

    def strip(self, batch: pa.RecordBatch, *, first: bool) -> pa.RecordBatch:
        """Drop the made-up first row."""
        return batch.slice(1) if first else batch

    def select_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> str:
        """The same rows in the same order: of each value how it is stored, and it as that."""
        parts = [part for n, c in enumerate(columns) for part in _parts(n, c)]
        order = ", ".join(f"{quoted(name)}{_nulls(table)}" for name in table.order)
        rows = f"{relation or quoted(table.name)} {where}"
        inner = f"SELECT {', '.join(parts)} FROM {rows} ORDER BY {order} LIMIT -1"
        examples = ", ".join("'', 0, 0.0, x'00'" for _ in columns)
        return f"SELECT {examples} UNION ALL SELECT * FROM ({inner})"

    def raw(self, batch: pa.RecordBatch, columns: tuple[Column, ...]) -> list[list[Raw]]:
        """The values by column, as they are stored."""
        lists = [column.to_pylist() for column in batch.columns]
        return [
            [_raw(*value) for value in zip(*lists[n * 4 : n * 4 + 4], strict=True)]
            for n in range(len(columns))
        ]

    def statement_options(self, table: Table) -> dict[str, str]:
        """Batches whose size is bounded, as the driver counts rows and not bytes."""
        return {"adbc.sqlite.query.batch_rows": str(_batch_rows(table))}


def _batch_rows(table: Table) -> int:
    """As many rows as fit into `_BATCH_BYTES` if all of their texts are as long as they may be.

    Where a table does not say how long its texts are, as one of a scratch registry, or one that
    another tool made, they are as long as MLflow's may be.
    """
    known = BY_NAME.get(table.name)
    caps = {c.name: c.cap for c in known.columns} if known is not None else {}
    texts = (c for c in table.columns if not pa.types.is_primitive(c.type))
    longest = sum(c.cap or caps.get(c.name) or _LONG_TEXT for c in texts)
    return max(_LEAST_ROWS, min(_MOST_ROWS, _BATCH_BYTES // max(longest, 1)))


def _name(column: Column) -> str:
    name = quoted(column.name)
    return f"CAST({name} AS TEXT) AS {name}" if column.json else name


def _parts(number: int, column: Column) -> Iterator[str]:
    """What `_raw` makes a value of: its kind, and columns for each kind of value."""
    name = f"CAST({quoted(column.name)} AS TEXT)" if column.json else quoted(column.name)
    yield f"typeof({name}) AS kind{number}"
    yield f"CASE typeof({name}) WHEN 'integer' THEN {name} END AS integer{number}"
    yield f"CASE typeof({name}) WHEN 'real' THEN {name} END AS real{number}"
    bytes_of = f"CAST({name} AS BLOB)"
    yield f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN {bytes_of} END AS bytes{number}"


def _raw(kind: str, integer: int | None, real: float | None, data: bytes | None) -> Raw:
    if kind == "blob":
        return Blob(data or b"")
    return {"integer": integer, "real": real, "text": data, "null": None}[kind]


def _nulls(table: Table) -> str:
    """Columns that may be NULL sort it last, as in PostgreSQL; a key has none."""
    return "" if table.key else " NULLS LAST"


def _example(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "0.0"
    if pa.types.is_string(kind) or pa.types.is_date(kind):
        return "''"
    if pa.types.is_binary(kind):
        return "x'00'"
    return "0"


class WalFiles:
    """Leaves a database's folder as it was found.

    Reading a database in WAL mode makes SQLite create ``-wal`` and ``-shm`` files beside it, and
    a read-only connection cannot take them away again. If they were not there before and nothing
    is in them, a last ordinary connection does: SQLite removes them under its own locks, and has
    nothing to write into the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._was_there = is_there(self._wal)

    def tidy(self) -> None:
        """Remove what reading left behind."""
        if self._was_there or not is_there(self._wal) or self._wal.stat().st_size:
            return
        with closing(sqlite3.connect(_uri(self._path, "rw"), uri=True)) as last:
            last.execute("SELECT count(*) FROM sqlite_master").fetchone()


def open_reader(path: Path, subject: str) -> AdbcConnection:
    """A read-only connection.

    Raises:
        UnreachableError: there is no such file, or it cannot be read.
        RefusedError: the file is empty or no SQLite database.
    """
    check_file(path, subject)
    mode = "ro"
    if _is_wal(path) and not _can_share(path):
        # On read-only media nobody can be writing, and SQLite cannot make its -shm file.
        mode = "ro&immutable=1"
    return _connect(path, mode, subject, f"busy_timeout = {_BUSY_MILLISECONDS}")


def needs_copy(path: Path) -> bool:
    """Whether whoever reads this database keeps others from writing to it.

    What is no database, or not readable, is for `open_reader` to tell.
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return False
    return header.startswith(_HEADER) and _WAL_FORMAT not in header[18:20]


def why_unreadable(path: Path, subject: str, message: str) -> MlporterError:
    """What it means that a database could be opened and not be read."""
    journal = path.with_name(path.name + "-journal")
    wal = path.with_name(path.name + "-wal")
    if "locked" in message:
        hint = "wait until it ends, or stop it"
        return UnreachableError("another process holds a lock on it", subject=subject, hint=hint)
    if "readonly" in message and is_there(journal):
        return RefusedError(
            "its last writer stopped in the middle of a transaction",
            subject=subject,
            hint=f"SQLite takes it back with {journal.name} when it may write: copy both files, "
            "open the copy once with `sqlite3 COPY .tables`, and export the copy",
        )
    if "unable to open" in message and is_there(wal):
        return RefusedError(
            f"cannot be read here together with {wal.name}, which holds its last changes",
            subject=subject,
            hint="the folder cannot be written: export a copy of both files",
        )
    return RefusedError(f"cannot be read as an SQLite database: {message}", subject=subject)


def open_writer(path: Path, subject: str) -> AdbcConnection:
    """A read-write connection to an existing database."""
    check_file(path, subject)
    return _connect(
        path,
        "rw",
        subject,
        f"busy_timeout = {_BUSY_MILLISECONDS}",
        f"cache_size = -{_WRITE_CACHE_KIB}",
    )


def open_scratch(path: Path, subject: str) -> AdbcConnection:
    """A connection to a database of our own that nobody else sees and that need not last."""
    return _connect(
        path,
        "rw",
        subject,
        "journal_mode = OFF",
        "synchronous = OFF",
        f"cache_size = -{_SCRATCH_CACHE_KIB}",
    )


def begin_writing(connection: Connection) -> None:
    """Begin a transaction, which nobody else writes beside.

    Raises:
        RefusedError: somebody else is writing, and does not end soon.
    """
    connection.execute(f"PRAGMA busy_timeout = {_BEGIN_MILLISECONDS}")
    try:
        connection.execute("BEGIN IMMEDIATE")
    except UnreachableError as error:
        if "locked" not in error.message:
            raise
        raise RefusedError(
            "another process is writing to this database",
            subject=connection.subject,
            hint="wait until it ends: it may be another import",
        ) from error
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")


def _connect(path: Path, mode: str, subject: str, *pragmas: str) -> AdbcConnection:
    try:
        handle = adbc_driver_sqlite.dbapi.connect(_uri(path, mode), autocommit=True)
    except adbc_driver_manager.Error as error:
        raise driver_error(error, subject) from error
    connection = AdbcConnection(handle, SqliteDialect(), subject)
    with closed_on_error(connection):
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    return connection


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def check_file(path: Path, subject: str) -> None:
    """Refuse what is no file of an SQLite database.

    Raises:
        UnreachableError: there is no such file, or it cannot be read.
        RefusedError: the file is empty or no SQLite database.
    """
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except FileNotFoundError:
        raise UnreachableError(
            "there is no such file",
            subject=subject,
            hint="sqlite:///name.db is relative to this folder, sqlite:////name.db is absolute",
        ) from None
    except IsADirectoryError:
        raise UnreachableError(
            "is a directory, not a database file", subject=subject, hint=folder_hint(path)
        ) from None
    except PermissionError as error:
        raise AccessDeniedError(str(error.strerror), subject=subject) from error
    except OSError as error:
        raise UnreachableError(str(error.strerror), subject=subject) from error
    if not header:
        raise RefusedError(
            "is an empty file, not a database",
            subject=subject,
            hint="MLflow leaves one behind when it fails at the start; look for another database",
        )
    if header != _HEADER:
        raise RefusedError("is not an SQLite database", subject=subject)


def _is_wal(path: Path) -> bool:
    with path.open("rb") as file:
        return _WAL_FORMAT in file.read(20)[18:20]


def _can_share(path: Path) -> bool:
    if any(is_there(path.with_name(path.name + suffix)) for suffix in ("-shm", "-wal")):
        return True
    return os.access(path.parent, os.W_OK)
