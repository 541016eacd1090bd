"""A database that takes a registry in one transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter import stopping
from mlporter.artifacts.disk.presence import is_there
from mlporter.catalogue.types import Kind, Table
from mlporter.closing import closed_on_error
from mlporter.errors import MlporterError, RefusedError
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.auth_database import AuthDatabase, open_auth_for_writing
from mlporter.stores.database.connection.bulk_load import bulk_load, set_sequences
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.sql_filters import literal_of, where_key
from mlporter.stores.database.engines import mysql, postgresql, sqlite
from mlporter.stores.database.engines.postgresql_loading import StagedLoads, remove_leftovers
from mlporter.stores.database.engines.sqlite_staging import Staging
from mlporter.stores.database.mysql.limits import limits_of
from mlporter.stores.database.reader import DatabaseReader, is_fresh
from mlporter.stores.database.schema.creation import create_schema, upgrade_schema
from mlporter.stores.database.schema.other_databases import check_not_beside
from mlporter.stores.database.schema.reflection import actual_tables
from mlporter.stores.database.schema.scripts import installed_head, installed_scripts
from mlporter.stores.database.schema.standing import check_standing, how_to_hold, revision_to_make

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.engines.postgresql_loading import Check
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Among

__all__ = ["DatabaseTarget", "open_database_target"]

_ADVISORY_LOCK = 0x6D6C706F72746572  # "mlporter": one import at a time into a database


class DatabaseTarget:
    """A database being filled: everything until `commit` is one transaction.

    Rows written can be read back (`read`) before they are committed. `rollback` leaves the
    database as it was found; a new SQLite file appears under its name only with `commit`.

    A schema that was made for this, at the revision of the rows, is upgraded with `commit`, which
    says so in `upgraded_to`, or else in `not_upgraded` why MLflow could not.
    """

    def __init__(
        self,
        address: Address,
        connection: Connection,
        staged: Staging | None,
        *,
        exactly: str = "",
        is_new: bool = False,
    ) -> None:
        self._is_new = is_new
        self._loads: StagedLoads | None = None
        self.upgraded_to: str | None = None
        self.not_upgraded: str | None = None
        self._auth: AuthDatabase | None = None
        self.address = address
        self._connection = connection
        self._staged = staged
        self._ending = Lock()
        self._committed = False
        self._reader = DatabaseReader(address, lambda: connection, exactly=exactly)
        self.revision = self._reader.revision
        self.tables = self._reader.tables
        self._by_name = self._reader.by_name

    def put_users_into(self, auth: AuthDatabase) -> None:
        """Read and write users in another database, whose transaction is ended with this one's."""
        self._auth = auth
        self.tables = auth.among(self.tables)
        self._by_name = {table.name: table for table in self.tables}

    def write_by(self, jobs: int | None) -> None:
        """Let so many connections write a large table, where it is empty, and PostgreSQL's."""
        if self.address.kind is AddressKind.POSTGRESQL:
            connect = partial(postgresql.connect, self.address.libpq, str(self.address))
            self._loads = StagedLoads(self._connection, connect, jobs)

    @property
    def enforces_caps(self) -> bool:
        """Whether too long a value is an error here; SQLite takes any length."""
        return self.address.kind is not AddressKind.SQLITE

    @property
    def keeps_signed_zeros(self) -> bool:
        """Whether -0.0 reads back as such."""
        return self.address.kind is AddressKind.POSTGRESQL

    @property
    def keeps_json_text(self) -> bool:
        """Whether JSON reads back letter by letter; MySQL (not MariaDB) writes it anew."""
        return self.address.kind is not AddressKind.MYSQL

    @property
    def limits(self) -> Limits | None:
        """What it says itself of what it can hold, or None."""
        return limits_of(self._reader)

    def how_to_hold(self, revision: str) -> str:
        """What to do for it to hold all of a newer schema."""
        return how_to_hold(revision, installed_scripts(), self.address)

    @property
    def is_fresh(self) -> bool:
        """Whether it holds nothing but what MLflow puts into a new database."""
        return is_fresh(self._reader)

    def replace_fresh(self, *, workspace: bool, experiment: bool) -> None:
        """Make room for the source's own `default` workspace and `Default` experiment."""
        if workspace and "workspaces" in self._by_name:
            self._connection.execute("DELETE FROM workspaces WHERE name = 'default'")
        if experiment:
            self._connection.execute("DELETE FROM experiments WHERE experiment_id = 0")

    def write(
        self,
        table: Table,
        batches: Iterator[pa.RecordBatch],
        expected: int,
        check: Check | None = None,
    ) -> int:
        """Append rows, whose columns are those of `table`; return how many.

        `expected` is about how many will come. Into an empty table, many go in at once; `check`
        may be given them then, read back by key (see `was_checked`).
        """
        if self._auth is not None and self._auth.has(table.name):
            return self._auth.write(table, batches)
        users = self._reader.users
        if table.kind is Kind.USERS and users is not None:
            return users.write(self._connection, table, batches)
        schema = self._written_schema(table)
        empty = expected and not self.count(table.name)
        rows = (batch.cast(schema) for batch in batches)
        if empty and check is not None and self._loads is not None:
            written = self._loads.write(table, schema, rows, expected, check)
            if written is not None:
                return written
        with bulk_load(self._connection, table.name, expected if empty else 0, table.order[0]):
            return self._connection.ingest(table.name, schema, rows)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key, those written among them; one table at a time."""
        if self._auth is not None and self._auth.has(table):
            return self._auth.read(table, columns, among)
        return self._reader.read(table, columns, among)

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any."""
        return self._reader.points_by_run()

    def count(self, table: str) -> int:
        """Rows of a table, those written among them."""
        if self._auth is not None and self._auth.has(table):
            return self._auth.count(table)
        return self._reader.count(table)

    def was_checked(self, table: str) -> bool:
        """Whether the rows of a table were read back when it was written."""
        return self._loads is not None and table in self._loads.tables

    def read_lying(self, table: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Rows of a table that was filled by one `write`, without sorting them anew if possible.

        They come in the order in which they were written, unless the table had gaps to fill.
        """
        return self._reader.read_lying(table, columns)

    def update(
        self, table: Table, key: tuple[object, ...], values: Iterable[tuple[str, object]]
    ) -> None:
        """Change some columns of the row with this key."""
        engine = self._connection.dialect.name
        changes = ", ".join(
            f"{quoted(name)} = {literal_of(value, engine)}" for name, value in values
        )
        where = where_key(table.key, key, engine)
        self._connection.execute(f"UPDATE {quoted(table.name)} SET {changes} WHERE {where}")

    def remove(self, table: str, columns: tuple[str, ...], key: tuple[object, ...]) -> None:
        """Delete the rows in which these columns hold these values."""
        where = where_key(columns, key, self._connection.dialect.name)
        self._connection.execute(f"DELETE FROM {quoted(table)} WHERE {where}")

    def finish(self) -> None:
        """Make the next experiment get a free id."""
        set_sequences(self._connection)

    def _written_schema(self, table: Table) -> pa.Schema:
        """The types that rows are written with: a strict database's own where ours are wider."""
        if not self.enforces_caps:
            return table.schema
        return pa.schema(
            [
                pa.field(c.name, c.declared or c.type, c.nullable)
                for c in table.columns
                if not c.generated
            ]
        )

    def commit(self) -> None:
        """Make everything visible at once.

        In a thread, as signals interrupt the main one only. One that comes now comes too late: it
        is waited for what was begun, and if that succeeds, then the work is done.

        Raises:
            KeyboardInterrupt: it was not too late; `rollback` undoes everything.
            UnreachableError: the database could not commit; nothing was kept.
        """
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="commit") as pool:
                pool.submit(self._commit).result()
        except KeyboardInterrupt:
            with self._ending:
                if not self._committed:
                    raise
            stopping.let_go_on()

    def _commit(self) -> None:
        with self._ending:
            self._connection.execute("COMMIT")
            self._committed = self._staged is None
            self._connection.close()
            self._upgrade()
            if self._staged is not None:
                self._staged.settle()
                self._committed = True
            if self._auth is not None:
                self._auth.commit()

    def _upgrade(self) -> None:
        """Let MLflow upgrade a schema that was made at an older revision, for its rows.

        In a file that has no name yet, a failure undoes everything. Elsewhere what is committed
        is whole, and stays.
        """
        head = installed_head()
        if not self._is_new or head == self.revision:
            return
        try:
            upgrade_schema(self.address, self._staged.path if self._staged else None)
        except MlporterError as error:
            if self._staged is not None:
                raise
            self.not_upgraded = str(error)
        else:
            self.upgraded_to = head

    def rollback(self) -> bool:
        """Undo everything, and say whether that was still possible; never fails."""
        with self._ending:
            if self._auth is not None:
                self._auth.rollback()
            if self._committed:
                return False
            if not self._connection.closed:
                with suppress(MlporterError):
                    self._connection.execute("ROLLBACK")
                    if self._loads is not None:
                        remove_leftovers(self._connection)
                self._connection.close()
            if self._staged is not None:
                self._staged.remove()
            return True


def open_database_target(
    address: Address, revision: str, auth: Address | None = None, jobs: int | None = 1
) -> DatabaseTarget:
    """Open a database for an import, creating MLflow's schema where there is none.

    Refuses before anything is created where the schema would not fit `revision`; the returned
    target is in its transaction. `auth` is the address of another database that users go to;
    `jobs` connections write a large table of PostgreSQL that is empty, None by the processors.
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
