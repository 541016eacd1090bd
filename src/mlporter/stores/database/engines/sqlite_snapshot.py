"""One state of an SQLite database, read without holding up for long those who write to it.

Without a write-ahead log, whoever reads keeps others from committing. So what is read is a copy
(`DatabaseCopy`). Of a small part of a large database more would be copied than read: then it is
read where it lies, and copied as soon as the reading takes long after all.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any

from mlporter.closing import closed_on_error
from mlporter.errors import MlporterError, RefusedError, UnreachableError
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.engines import sqlite
from mlporter.stores.database.engines.sqlite_copy import DatabaseCopy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import AdbcConnection, Connection
    from mlporter.stores.database.connection.values import Raw

__all__ = ["SqliteSnapshot"]

_PATIENCE = 3.0
"""Seconds that others wait for, of the 20 that MLflow does."""
_MANY_ROWS = 1_000_000
"""Rows of a table that is not read while others wait."""


class SqliteSnapshot:
    """A read transaction; one connection, which may stream several tables at once.

    Args:
        address: The database.
        part: Only a part will be read.

    Attributes:
        state: A text that says which state of the database is seen, if anything tells; see
            `DatabaseCopy.state`. It cannot change before somebody else may write.

    Raises:
        UnreachableError: there is no such file, or another process holds a lock on it.
        RefusedError: it is no SQLite database, or cannot be read as one.
    """

    def __init__(self, address: Address, *, part: bool = False) -> None:
        if address.path is None:
            raise RefusedError("has no file", subject=str(address))
        wal = sqlite.WalFiles(address.path)
        sqlite.check_file(address.path, str(address))
        waits = sqlite.needs_copy(address.path)
        copy = DatabaseCopy(address.path, str(address)) if waits else None
        before = copy.state() if copy is not None else None
        with ExitStack() as opened:
            opened.callback(wal.tidy)
            if copy is not None:
                opened.callback(copy.close)
            self._reader = opened.enter_context(closing(_Reader(address.path, str(address), copy)))
            # Somebody may have written to the file, or replaced it, while it was being opened.
            now = copy.state() if copy is not None else None
            self.state = now if now == before else None
            if not part:
                self._reader.get_out_of_the_way()
            self._opened = opened.pop_all()

    def connect(self) -> Connection:
        """The connection; it is for `close` to close it."""
        return self._reader

    def close(self) -> None:
        """End the transaction, and leave the folder as it was found."""
        self._opened.close()


class _Reader:
    """`Connection` to a database, or from some moment on to a copy of it in the same state."""

    def __init__(self, path: Path, subject: str, copy: DatabaseCopy | None) -> None:
        self.subject = subject
        self._copy = copy
        self._newest: dict[str, int] = {}
        self._lock = RLock()
        self._connection = _begin(path, subject)
        self._original: AdbcConnection | None = None
        self._timer = Timer(_PATIENCE, self._get_out_of_the_way_later)
        self._timer.daemon = True
        if copy is not None:
            self._timer.start()

    def get_out_of_the_way(self) -> None:
        """Go on with a copy, if reading keeps others from writing and there is room for one.

        What is being read from the database itself is read to its end; until then others wait.
        """
        with self._lock:
            self._timer.cancel()
            if self._copy is None or self._original is not None or self.closed:
                return
            if self._copy.make() and self._copy.path is not None:
                copied = _begin(self._copy.path, self.subject)
                self._original, self._connection = self._connection, copied
                self._original.execute("COMMIT")
            self._copy = None

    def _get_out_of_the_way_later(self) -> None:
        # In a thread of its own: a copy that fails there leaves all as it is, and others waiting.
        with suppress(MlporterError):
            self.get_out_of_the_way()

    def _now(self) -> AdbcConnection:
        with self._lock:
            return self._connection

    @property
    def dialect(self) -> sqlite.SqliteDialect:
        """What SQLite says differently."""
        return sqlite.SqliteDialect()

    def execute(self, sql: str) -> None:
        """Run a statement that returns nothing."""
        self._now().execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small result."""
        return self._now().rows(sql)

    def scalar(self, sql: str) -> Any:  # noqa: ANN401 -- whatever the database returns
        """The first value of a result, or None."""
        return self._now().scalar(sql)

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
        if self._copy is not None and not where and self._is_large(table):
            self.get_out_of_the_way()
        if not relation and self._newest.get(table.name) == 0:
            return  # most tables of most registries are empty
        yield from self._now().read(table, columns, where, relation, as_lying=as_lying)

    def read_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> Iterator[list[list[Raw]]]:
        """The same rows, as lists by column of values as they are stored."""
        yield from self._now().read_raw(table, columns, where, relation)

    def _is_large(self, table: Table) -> bool:
        # Ids of rows are counted up: the greatest is found at once, and is about their number.
        if table.name not in self._newest:
            try:
                newest = self.scalar(f"SELECT max(rowid) FROM {quoted(table.name)}")
            except UnreachableError:
                return True  # a table without them
            # What is read is one state: none stays none.
            self._newest[table.name] = 0 if newest is None else newest or 1
        return self._newest[table.name] > _MANY_ROWS

    def ingest(self, table: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        """Fail, as the connection is one for reading only."""
        return self._now().ingest(table, schema, batches)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._connection.closed

    def close(self) -> None:
        """Close it (once)."""
        with self._lock:
            self._timer.cancel()
            self._connection.close()
            if self._original is not None:
                self._original.close()


def _begin(path: Path, subject: str) -> AdbcConnection:
    """A connection in a read transaction."""
    connection = sqlite.open_reader(path, subject)
    with closed_on_error(connection):
        connection.execute("BEGIN")
        # The snapshot is taken by the first read, not by BEGIN; and the first read is what tells
        # an SQLite database from a file that only begins like one.
        try:
            connection.rows("SELECT count(*) FROM sqlite_master")
        except UnreachableError as error:
            raise sqlite.why_unreadable(path, subject, error.message) from error
    return connection
