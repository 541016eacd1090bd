"""One consistent view of a database: connections that all see one state, whatever the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.closing import closed_on_error
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.engines import mysql, postgresql
from mlporter.stores.database.engines.sqlite_snapshot import SqliteSnapshot

if TYPE_CHECKING:
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["snapshot_of"]


class _PostgresqlSnapshot:
    """A transaction that holds the snapshot, and others that join it."""

    state = None
    """Nothing is cheap to ask and tells for sure that nobody has written."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._holder = self._begin()
        with closed_on_error(self._holder):
            self._id = str(self._holder.scalar("SELECT pg_export_snapshot()"))

    def _begin(self, *statements: str) -> Connection:
        connection = postgresql.connect(self._address.libpq, str(self._address))
        with closed_on_error(connection):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            for statement in statements:
                connection.execute(statement)
        return connection

    def connect(self) -> Connection:
        return self._begin(f"SET TRANSACTION SNAPSHOT '{self._id}'")

    def close(self) -> None:
        self._holder.close()


class _MysqlSnapshot:
    """One connection in a read transaction, as MySQL's cannot share one; it reads whole tables."""

    state = None
    """As of PostgreSQL."""

    def __init__(self, address: Address) -> None:
        self._connection = mysql.connect(address)
        with closed_on_error(self._connection):
            mysql.check_engines(address, self._connection)
            self._connection.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def connect(self) -> Connection:
        return self._connection

    def close(self) -> None:
        self._connection.close()


def snapshot_of(
    address: Address, *, part: bool = False
) -> SqliteSnapshot | _PostgresqlSnapshot | _MysqlSnapshot:
    """A consistent view of a database; whoever opens connections into it closes them.

    `part` says that not all of it will be read.
    """
    if address.kind is AddressKind.SQLITE:
        return SqliteSnapshot(address, part=part)
    if address.kind is AddressKind.MYSQL:
        return _MysqlSnapshot(address)
    return _PostgresqlSnapshot(address)
