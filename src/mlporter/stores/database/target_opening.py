"""Databases that are opened to be written: created where there is none, locked, and looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import is_there
from mlporter.errors import RefusedError
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.auth_database import open_auth_for_writing
from mlporter.stores.database.connection.connection import closed_on_error
from mlporter.stores.database.engines import mysql, postgresql, sqlite
from mlporter.stores.database.engines.postgresql_loading import remove_leftovers
from mlporter.stores.database.engines.sqlite_staging import Staging
from mlporter.stores.database.schema.creation import create_schema
from mlporter.stores.database.schema.other_databases import check_not_beside
from mlporter.stores.database.schema.reflection import actual_tables
from mlporter.stores.database.schema.scripts import installed_scripts
from mlporter.stores.database.schema.standing import check_standing, revision_to_make
from mlporter.stores.database.target import DatabaseTarget

if TYPE_CHECKING:
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["open_database_target"]

_ADVISORY_LOCK = 0x6D6C706F72746572  # "mlporter": one import at a time into a database


def open_database_target(
    address: Address, revision: str, auth: Address | None = None, jobs: int = 1
) -> DatabaseTarget:
    """Open a database for an import, creating MLflow's schema where there is none.

    Refuses before anything is created where the schema would not fit `revision`; the returned
    target is in its transaction. `auth` is the address of another database that users go to;
    `jobs` connections write a large table of PostgreSQL that is empty.
    """
    if auth is None:
        target = _open(address, revision)
    else:
        users = open_auth_for_writing(auth, address)
        try:
            target = _open(address, revision)
        except BaseException:
            users.rollback()
            raise
        target.put_users_into(users)
    target.write_by(jobs)
    return target


def _open(address: Address, revision: str) -> DatabaseTarget:
    if address.kind is AddressKind.SQLITE:
        target = _open_sqlite(address, revision)
    elif address.kind is AddressKind.MYSQL:
        target = _open_mysql(address, revision)
    else:
        target = _open_postgresql(address, revision)
    try:
        check_standing(target.revision, revision, installed_scripts(), address)
    except BaseException:
        target.rollback()
        raise
    return target


def _open_sqlite(address: Address, revision: str) -> DatabaseTarget:
    path = address.path
    if path is None:
        raise RefusedError("has no file", subject=str(address))
    if is_there(path) and path.stat().st_size:
        connection = sqlite.open_writer(path, str(address))
        return _begin(address, connection, exactly=revision)
    made = revision_to_make(revision, installed_scripts(), address)
    staged = Staging(path, str(address))
    try:
        create_schema(address, made, staged.path)
        connection = sqlite.open_writer(staged.path, str(address))
        return _begin(address, connection, staged, exactly=made, is_new=True)
    except BaseException:
        staged.remove()
        raise


def _open_postgresql(address: Address, revision: str) -> DatabaseTarget:
    connection = postgresql.connect(address.libpq, str(address))
    with closed_on_error(connection):
        # For the session: two must not create the schema at a time either.
        _lock(address, connection, "pg_try_advisory_lock")
        remove_leftovers(connection)
        is_new = not actual_tables(connection)
        if is_new:
            check_not_beside(address, connection)
            revision = revision_to_make(revision, installed_scripts(), address)
            create_schema(address, revision)
    return _begin(address, connection, exactly=revision, is_new=is_new)


def _open_mysql(address: Address, revision: str) -> DatabaseTarget:
    connection = mysql.connect(address)
    with closed_on_error(connection):
        # For as long as the connection lasts, as what creates tables ends a transaction.
        _check_alone(address, alone=mysql.lock(connection))
        is_new = not actual_tables(connection)
        if is_new:
            revision = revision_to_make(revision, installed_scripts(), address)
            mysql.check_can_hold(address, connection)
            create_schema(address, revision)
        mysql.check_engines(address, connection)
    return _begin(address, connection, exactly=revision, is_new=is_new)


def _begin(
    address: Address,
    connection: Connection,
    staged: Staging | None = None,
    *,
    exactly: str,
    is_new: bool = False,
) -> DatabaseTarget:
    with closed_on_error(connection):
        if connection.dialect.name == "sqlite":
            sqlite.begin_writing(connection)
        elif connection.dialect.name == "mysql":
            connection.execute("START TRANSACTION")
        else:
            postgresql.begin_writing(connection)
            _lock(address, connection, "pg_try_advisory_xact_lock")
        return DatabaseTarget(address, connection, staged, exactly=exactly, is_new=is_new)


def _lock(address: Address, connection: Connection, function: str) -> None:
    alone = bool(connection.scalar(f"SELECT {function}({_ADVISORY_LOCK})"))
    _check_alone(address, alone=alone)


def _check_alone(address: Address, *, alone: bool) -> None:
    if not alone:
        raise RefusedError(
            "another import into this database is running",
            subject=str(address),
            hint="wait until it ends",
        )
