"""PostgreSQL: a repeatable-read snapshot that several connections can share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa

from mlporter.errors import AccessDeniedError, MlporterError, UnreachableError
from mlporter.stores.database.connection.connection import AdbcConnection, driver_error, quoted
from mlporter.stores.database.connection.values import raw_values

if TYPE_CHECKING:
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
        self._collate = "" if bytewise else ' COLLATE "C"'

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
        names = ", ".join(_name(c) for c in columns)
        rows = f"SELECT {names} FROM {relation or quoted(table.name)} {where}"
        if as_lying:
            return rows
        return f"{rows} ORDER BY {', '.join(self._order(table, key) for key in table.order)}"

    def _order(self, table: Table, key: str) -> str:
        text = pa.types.is_string(table.by_name[key].type)
        return quoted(key) + (self._collate if text else "")

    def strip(self, batch: pa.RecordBatch, *, first: bool) -> pa.RecordBatch:  # noqa: ARG002
        """Nothing was put in."""
        return batch

    def select_raw(
        self, table: Table, columns: tuple[Column, ...], where: str, relation: str
    ) -> str:
        """As `select`: the driver takes texts of any bytes."""
        return self.select(table, columns, where, relation)

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
    connection.execute("BEGIN")
    connection.execute("SET LOCAL synchronize_seqscans = off")
    connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")


def connect(libpq: str, subject: str) -> AdbcConnection:
    """A connection, with nothing begun.

    Raises:
        AccessDeniedError: wrong password, or no right to connect.
        UnreachableError: no server there, or no such database.
    """
    try:
        handle = adbc_driver_postgresql.dbapi.connect(libpq, autocommit=True)
    except adbc_driver_manager.Error as error:
        raise _connect_error(error, subject) from error
    connection = AdbcConnection(handle, PostgresqlDialect(), subject)
    try:
        bytewise = bool(connection.scalar(_BYTEWISE))
    except BaseException:
        connection.close()
        raise
    return AdbcConnection(handle, PostgresqlDialect(bytewise=bytewise), subject)


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
