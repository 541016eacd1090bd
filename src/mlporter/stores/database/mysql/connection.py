"""`Connection` to MySQL and MariaDB through PyMySQL.

A result must be read to its end before the connection takes the next statement, and no other
connection can join its snapshot. So a result is fetched at once, as Arrow batches, into memory or
a temporary file (`RowSpool`); then several tables can be read side by side.
"""

from __future__ import annotations

from contextlib import closing, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pymysql
from pymysql.cursors import SSCursor

from mlporter.closing import closed_on_error
from mlporter.errors import UsageError
from mlporter.stores.database.connection.connection import conform
from mlporter.stores.database.connection.interrupts import interruptible
from mlporter.stores.database.connection.values import as_number
from mlporter.stores.database.mysql.errors import connect_error, mysql_error
from mlporter.stores.database.mysql.rows import Chunks, statements
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.database.connection.connection import Dialect
    from mlporter.stores.database.connection.values import Raw

__all__ = ["MysqlConnection", "open_connection"]

_SLACK = 1024
_STATEMENT = 1 << 20
"""Bytes of an INSERT: larger ones are no faster."""

# Quotes as in standard SQL: "name" and 'text', no backslashes. No zero turns into a new id, and
# nothing is shortened to fit. Binary collation, so that texts of ours compare as they are.
_SESSION = (
    (
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ANSI_QUOTES,"
        "NO_BACKSLASH_ESCAPES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    ),
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    # Sorting looks at so many bytes of a text (a key has 3072 at most); files may be copied for
    # hours between two statements; and a slow disk here is no reason to hang up.
    (
        "SET SESSION time_zone = '+00:00', max_sort_length = 8192, wait_timeout = 31536000, "
        "net_write_timeout = 3600, net_read_timeout = 3600"
    ),
)


def open_connection(arguments: dict[str, Any], dialect: Dialect, subject: str) -> MysqlConnection:
    """Connect, and set the session up.

    Raises:
        UsageError: an argument that PyMySQL does not know.
        UnreachableError: no way to it; AccessDeniedError: it says no.
    """
    try:
        handle = _connect(arguments)
    except (TypeError, NotImplementedError) as error:
        raise UsageError(
            f"PyMySQL does not take an option of this address: {error}", subject=subject
        ) from error
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        raise connect_error(error, subject) from error
    connection = MysqlConnection(handle, arguments, dialect, subject)
    with closed_on_error(connection):
        for statement in _SESSION:
            connection.execute(statement)
        connection.largest_packet = int(connection.scalar("SELECT @@max_allowed_packet"))
    return connection


def _connect(arguments: dict[str, Any]) -> pymysql.Connection[Any]:
    return pymysql.connect(**arguments, charset="utf8mb4", autocommit=True)


class MysqlConnection:
    """`Connection` through PyMySQL; see there for what the methods do.

    Attributes:
        largest_packet: The longest statement that the server takes, in bytes.
    """

    def __init__(
        self,
        handle: pymysql.Connection[Any],
        arguments: dict[str, Any],
        dialect: Dialect,
        subject: str,
    ) -> None:
        self._handle = handle
        self._arguments = arguments
        self._closed = False
        self._lock = RLock()
        self.dialect = dialect
        self.subject = subject
        self.largest_packet = 1 << 20

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        self._query(sql.encode(), self.subject)

    def _query(self, sql: bytes, subject: str) -> None:
        with self._lock:
            try:
                interruptible(lambda: self._handle.query(sql), self._cancel)
            except (pymysql.MySQLError, OSError) as error:
                raise mysql_error(error, subject) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small result."""

        def fetch() -> list[tuple[Any, ...]]:
            with closing(self._handle.cursor()) as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]

        with self._lock:
            try:
                return interruptible(fetch, self._cancel)
            except (pymysql.MySQLError, OSError) as error:
                raise mysql_error(error, self.subject) from error

    def scalar(self, sql: str) -> Any:  # noqa: ANN401 -- whatever the database returns
        """The first value of a result, or None."""
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def read(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table sorted by its key, as the catalogue types them."""
        schema = pa.schema([pa.field(c.name, c.type, c.nullable) for c in columns])
        select = self.dialect.select(table, columns, where, relation, as_lying=as_lying)

        def typed(chunk: pa.RecordBatch) -> pa.RecordBatch:
            return conform(chunk, schema, table.name, self.subject, parse=True)

        yield from self._kept(table, select, columns, typed)

    def read_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> Iterator[list[list[Raw]]]:
        """The same rows, as lists by column of values as they are stored."""
        select = self.dialect.select(table, columns, where, relation)
        for chunk in self._kept(table, select, columns, None):
            yield [
                [as_number(value, column) for value in values.to_pylist()]
                for values, column in zip(chunk.columns, columns, strict=True)
            ]

    def _kept(
        self,
        table: Table,
        select: str,
        columns: tuple[Column, ...],
        typed: Callable[[pa.RecordBatch], pa.RecordBatch] | None,
    ) -> Iterator[pa.RecordBatch]:
        """A whole result, fetched at once; as the bytes that MySQL sends where it is not typed."""
        subject = f"{self.subject} table {table.name}"
        with closing(RowSpool()) as kept:

            def fetch() -> None:
                with closing(self._handle.cursor(_RawCursor)) as cursor:
                    cursor.execute(select)
                    for chunk in Chunks(columns, cursor, subject, raw=typed is None):
                        kept.add(typed(chunk) if typed is not None else chunk)

            with self._lock:
                try:
                    interruptible(fetch, self._cancel, reads=True)
                except (pymysql.MySQLError, OSError) as error:
                    raise mysql_error(error, subject) from error
            kept.end()
            yield from kept.read()

    def ingest(self, table: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Append batches to a table, within the transaction at hand; return the rows appended."""
        limit = min(_STATEMENT, self.largest_packet - _SLACK)
        subject = f"{self.subject} table {table}"
        count = 0
        for batch in batches:
            for statement in statements(table, batch.cast(schema), limit, subject):
                self._query(statement, subject)
            count += batch.num_rows
        return count

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Close it (once); an open transaction is rolled back by the database."""
        if not self._closed:
            self._closed = True
            with suppress(pymysql.MySQLError, OSError):
                self._handle.close()

    def _cancel(self) -> None:
        """End the statement that runs, over a connection of its own."""
        try:
            with closing(_connect(self._arguments)) as other:
                other.query(f"KILL QUERY {self._handle.thread_id()}")
        except (pymysql.MySQLError, OSError):
            # The statement ends when its connection does.
            with suppress(OSError):
                self._handle._force_close()  # noqa: SLF001 -- `close` would wait for its turn


class _RawCursor(SSCursor):  # type: ignore[misc]  # PyMySQL has no types
    """Rows as the server sends them, one after another: bytes, which Arrow parses by columns."""

    def _query(self, q: bytes) -> int:
        handle = self.connection
        before = handle.use_unicode, handle.decoders
        handle.use_unicode, handle.decoders = False, {}
        try:
            return int(super()._query(q))
        finally:
            handle.use_unicode, handle.decoders = before
