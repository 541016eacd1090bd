"""MySQL and MariaDB: what they say differently, and how a connection to them begins.

PyMySQL is an optional driver, so nothing here needs it before a connection is made.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.errors import RefusedError, UnsupportedError, UsageError
from mlporter.stores.database.connection.connection import quoted

if TYPE_CHECKING:
    from mlporter.catalogue.types import Column, Table
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.mysql.connection import MysqlConnection

__all__ = ["MysqlDialect", "by_bytes", "check_can_hold", "check_engines", "connect"]
__all__ += ["driver_arguments", "environment_settings", "lock"]

_OURS = frozenset({"charset", "use_unicode", "client_flag", "autocommit", "sql_mode", "collation"})
"""Options of an address that are not the user's: all of ours are UTF-8 and begin by `BEGIN`."""


class MysqlDialect:
    """MySQL's way of saying things (with its session set up as `connect` does it)."""

    name = "mysql"

    def select(
        self,
        table: Table,
        columns: tuple[Column, ...],
        where: str = "",
        relation: str = "",
        *,
        as_lying: bool = False,  # noqa: ARG002 -- rows lie by their primary key here
    ) -> str:
        """All rows by key; text by its bytes, whatever the columns' collations.

        Columns are named plainly: a function's result is NULL where it gets too long.
        """
        names = ", ".join(quoted(c.name) for c in columns)
        order = ", ".join(_order(table, key) for key in table.order)
        return f"SELECT {names} FROM {relation or quoted(table.name)} {where} ORDER BY {order}"


def by_bytes(expression: str) -> str:
    """A text as its UTF-8 bytes, which are compared as they are: case, accents, spaces and all."""
    return f"CAST(CONVERT({expression} USING utf8mb4) AS BINARY)"


def _order(table: Table, key: str) -> str:
    name = quoted(key)
    value = by_bytes(name) if pa.types.is_string(table.by_name[key].type) else name
    # Columns that may be NULL sort it last, as in PostgreSQL; a key has none.
    return value if table.key else f"{name} IS NULL, {value}"


def connect(address: Address) -> MysqlConnection:
    """A connection, with nothing begun.

    Raises:
        UnsupportedError: PyMySQL is not installed.
        UsageError: the address names no database, or an option that PyMySQL does not know.
        AccessDeniedError: wrong user or password, or no right to use the database.
        UnreachableError: no server there, or no such database.
    """
    try:
        import pymysql  # noqa: F401, PLC0415 -- an optional driver
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            "MySQL and MariaDB are reached with PyMySQL, which is not installed",
            subject=str(address),
            hint="pip install 'mlporter[mysql]'",
        ) from error
    from mlporter.stores.database.mysql.connection import open_connection  # noqa: PLC0415

    return open_connection(driver_arguments(address), MysqlDialect(), str(address))


def driver_arguments(address: Address) -> dict[str, Any]:
    """An address as PyMySQL's arguments, read as SQLAlchemy (and so MLflow) reads it.

    Raises:
        UsageError: it is not such an address, or names no database.
    """
    from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql  # noqa: PLC0415
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    hint = "name it as mysql+pymysql://user@host:3306/database"
    try:
        url = make_url(address.sqlalchemy)
    except (ArgumentError, ValueError) as error:
        raise UsageError("is not a MySQL address", subject=str(address), hint=hint) from error
    if not url.database:
        raise UsageError("names no database", subject=str(address), hint=hint)
    _, arguments = MySQLDialect_pymysql().create_connect_args(url)
    kept = {name: value for name, value in arguments.items() if name not in _OURS}
    return environment_settings(address) | kept


def environment_settings(address: Address) -> dict[str, str]:
    """PyMySQL's arguments that the environment gives: MLflow's, and the password of MySQL's own.

    A password in the address goes before it.
    """
    names = {f"ssl_{name}": f"MLFLOW_MYSQL_SSL_{name.upper()}" for name in ("ca", "cert", "key")}
    if ":" not in address.text.partition("://")[2].rpartition("@")[0]:
        names["password"] = "MYSQL_PWD"  # noqa: S105 -- a name
    found = {name: address.environment.get(variable) for name, variable in names.items()}
    return {name: value for name, value in found.items() if value}


def check_engines(address: Address, connection: Connection) -> None:
    """Refuse tables without transactions: neither a snapshot nor a rollback would hold for them.

    Raises:
        RefusedError: naming the tables.
    """
    found = connection.rows(
        "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE() "
        "AND table_type = 'BASE TABLE' AND engine <> 'InnoDB' ORDER BY table_name"
    )
    if found:
        raise RefusedError(
            "some of its tables do not support transactions",
            subject=str(address),
            hint="ALTER TABLE name ENGINE=InnoDB, for each of them",
            reasons=tuple(f"table {name} is of the engine {engine}" for name, engine in found),
        )


def check_can_hold(address: Address, connection: Connection) -> None:
    """Refuse to make MLflow's tables in a database whose own character set is not all of Unicode.

    Raises:
        RefusedError: saying how an empty database is changed.
    """
    charset = connection.scalar("SELECT @@character_set_database")
    if charset != "utf8mb4":
        name = connection.scalar("SELECT DATABASE()")
        raise RefusedError(
            f"its character set is {charset}: tables made in it could not hold every text",
            subject=str(address),
            hint=f"it is empty, so change it: ALTER DATABASE `{name}` CHARACTER SET utf8mb4",
        )


def lock(connection: Connection) -> bool:
    """Take the lock that one import at a time into this database has; gone with the connection."""
    name = str(connection.scalar("SELECT DATABASE()"))
    word = "mlporter-" + sha256(name.encode()).hexdigest()[:40]  # at most 64 characters
    return bool(connection.scalar(f"SELECT GET_LOCK('{word}', 0)"))
