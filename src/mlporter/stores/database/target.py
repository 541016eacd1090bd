"""A database that takes a registry in one transaction."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter import stopping
from mlporter.catalogue.types import Kind, Table
from mlporter.errors import MlporterError
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.connection.bulk_load import bulk_load, set_sequences
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.sql_filters import literal_of, where_key
from mlporter.stores.database.engines import postgresql
from mlporter.stores.database.engines.postgresql_loading import StagedLoads, remove_leftovers
from mlporter.stores.database.mysql.limits import limits_of
from mlporter.stores.database.reader import DatabaseReader, is_fresh
from mlporter.stores.database.schema.creation import upgrade_schema
from mlporter.stores.database.schema.scripts import installed_head, installed_scripts
from mlporter.stores.database.schema.standing import how_to_hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.stores.database.auth_database import AuthDatabase
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.engines.postgresql_loading import Check
    from mlporter.stores.database.engines.sqlite_staging import Staging
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Among

__all__ = ["DatabaseTarget"]


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

    def write_by(self, jobs: int) -> None:
        """Let so many connections write a large table, where it is empty, and PostgreSQL's."""
        if self.address.kind is AddressKind.POSTGRESQL and jobs > 1:
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

        Args:
            table: Which.
            batches: The rows. Into an empty table, many go in at once.
            expected: About how many will come.
            check: Is given the rows that were written, by key, if they can be read back at once;
                without it they never are. `was_checked` says so.
        """
        if self._auth is not None and self._auth.has(table.name):
            return self._auth.write(table, batches)
        users = self._reader.users
        if table.kind is Kind.USERS and users is not None:
            return users.write(self._connection, table, batches)
        schema = self._written_schema(table)
        empty = expected and not self.count(table.name)
        rows = (batch.cast(schema) for batch in batches)
        if empty and self._loads is not None and check is not None:
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
