"""PostgreSQL: a repeatable-read snapshot that several connections can share."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, cast

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import dbapi

from mlporter.closing import closed_on_error
from mlporter.errors import AccessDeniedError, MlporterError, UnreachableError
from mlporter.stores.database.connection.connection import (
    AdbcConnection,
    driver_error,
    quoted,
)
from mlporter.stores.database.connection.ties import unsettled
from mlporter.stores.database.connection.values import raw_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.connection.values import Raw

__all__ = ["PostgresqlDialect", "begin_writing", "connect"]

_DENIED = ("password authentication failed", "permission denied", "no pg_hba.conf entry",
           "no password supplied", "is not permitted to log in")  # fmt: skip


_BYTEWISE = """
SELECT CASE coalesce(to_jsonb(d)->>'datlocprovider', 'c')
    WHEN 'c' THEN datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')
    ELSE to_jsonb(d)->>'datlocprovider' = 'b' END
FROM pg_database d WHERE datname = current_database()
"""


class PostgresqlDialect:
    """PostgreSQL's way of saying things.

    Args:
        bytewise: Whether the database itself sorts text by its bytes. Its indexes are of use then:
            a collation that is named is another one to the planner, even if it sorts alike.
    """

    name = "postgresql"

    def __init__(self, *, bytewise: bool = False) -> None:
        self._bytewise = bytewise

    def select(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,
    ) -> str:
        """All rows by key; text by its bytes, whatever the database's own collation."""
        rest = self.unsettled(table, columns, relation)
        order = () if as_lying else [key for key in table.order if key not in rest]
        return self._select(table, columns, where, relation, order)

    def _select(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str,
        relation: str,
        order: Sequence[str],
    ) -> str:
        names = ", ".join(_name(c) for c in columns)
        rows = f"SELECT {names} FROM {relation or quoted(table.name)} {where}"
        if not order:
            return rows
        return f"{rows} ORDER BY {', '.join(self._order(table, key) for key in order)}"

    def _order(self, table: Table, key: str) -> str:
        text = pa.types.is_string(table.by_name[key].type) and not self._bytewise
        return quoted(key) + (' COLLATE "C"' if text else "")

    def unsettled(
        self, table: Table, columns: tuple[Column, ...], relation: str
    ) -> tuple[str, ...]:
        """What an index does not sort by, where an index sorts text by its bytes."""
        return unsettled(table, columns, relation) if self._bytewise else ()

    def strip(self, batch: pa.RecordBatch, *, first: bool) -> pa.RecordBatch:  # noqa: ARG002
        """Nothing was put in."""
        return batch

    def select_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> str:
        """As `select`, sorted to the last column: the driver takes texts of any bytes."""
        return self._select(table, columns, where, relation, table.order)

    def raw(
        self,
        batch: pa.RecordBatch,
        columns: tuple[Column, ...],  # noqa: ARG002 -- they are those of the batch
    ) -> list[list[Raw]]:
        """The values by column, as they are stored."""
        return [raw_values(column) for column in batch.columns]

    def statement_options(self, table: Table) -> dict[str, str]:  # noqa: ARG002
        """PostgreSQL's batches are bounded in bytes, whatever the rows hold."""
        return {"adbc.postgresql.batch_size_hint_bytes": str(8 << 20)}


def _name(column: Column) -> str:
    cast = "::text" if column.json else ""
    return f"{quoted(column.name)}{cast} AS {quoted(column.name)}"


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that reads whole tables in the order in which they lie.

    PostgreSQL may begin a large one in the middle, beside somebody else who reads it, or read it
    with several processes.
    """
    # What other connections of ours commit meanwhile must be seen, whatever the server's default.
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    connection.execute("SET LOCAL synchronize_seqscans = off")
    connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")


def connect(libpq: str, subject: str) -> AdbcConnection:
    """A connection, with nothing begun.

    Raises:
        AccessDeniedError: wrong password, or no right to connect.
        UnreachableError: no server there, or no such database.
    """
    try:
        handle = _DriverDatabase.connection(libpq)
    except adbc_driver_manager.Error as error:
        raise _connect_error(error, subject) from error
    connection = AdbcConnection(handle, PostgresqlDialect(), subject)
    with closed_on_error(connection):
        bytewise = bool(connection.scalar(_BYTEWISE))
    return AdbcConnection(handle, PostgresqlDialect(bytewise=bytewise), subject)


class _DriverDatabase:
    """What the driver knows of a database, for as long as there are connections to it.

    It reads all types of the server first, which takes twenty times as long as to connect. So
    connections that are open at the same time share it; the last one that is closed closes it.
    """

    _open: ClassVar[dict[str, _DriverDatabase]] = {}
    _lock: ClassVar[Lock] = Lock()

    def __init__(self, libpq: str) -> None:
        self._libpq = libpq
        self.handle = adbc_driver_postgresql.connect(libpq)
        self.users = 0

    @classmethod
    def connection(cls, libpq: str) -> dbapi.Connection:
        """A connection, with nothing begun.

        Raises:
            adbc_driver_manager.Error: there is none to be had.
        """
        database = cls._of(libpq)
        with closed_on_error(database):
            raw = adbc_driver_manager.AdbcConnection(database.handle)
            # All that a connection does with its database is to close it.
            return dbapi.Connection(cast("Any", database), raw, autocommit=True)

    @classmethod
    def _of(cls, libpq: str) -> _DriverDatabase:
        with cls._lock:
            found = cls._open.get(libpq)
            if found is not None:
                found.users += 1
                return found
        made = cls(libpq)  # not under the lock: it may take long
        made.users = 1
        with cls._lock:
            cls._open[libpq] = made
        return made

    def close(self) -> None:
        """One connection less."""
        with self._lock:
            self.users -= 1
            if self.users:
                return
            if self._open.get(self._libpq) is self:
                del self._open[self._libpq]
        self.handle.close()


def _connect_error(error: adbc_driver_manager.Error, subject: str) -> MlporterError:
    plain = driver_error(error, subject)
    text = str(error)
    if any(words in text for words in _DENIED):
        return AccessDeniedError(
            plain.message, subject=subject, hint="check user and password, or use PGPASSWORD"
        )
    hint = "check host, port and that the server is running"
    if "does not exist" in text:
        hint = "create the database first: createdb NAME"
    return UnreachableError(plain.message, subject=subject, hint=hint)
