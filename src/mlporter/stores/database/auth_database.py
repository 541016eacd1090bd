"""MLflow's users where they have a database of their own, such as `basic_auth.db`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlporter.closing import closed_on_error
from mlporter.errors import MlporterError, RefusedError, RevisionError, UnreachableError, UsageError
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.stores.database.engines import mysql, postgresql, sqlite
from mlporter.stores.database.engines.snapshots import snapshot_of
from mlporter.stores.database.schema.reflection import actual_tables
from mlporter.stores.database.schema.user_rows import UserRows, has_users
from mlporter.stores.protocols import USERS_NOT_SEEN, Wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.protocols import Among, Source

__all__ = ["AuthDatabase", "WithUsers", "check_auth", "check_writable", "open_auth"]
__all__ += ["open_auth_for_writing"]

_DATABASES = {AddressKind.SQLITE, AddressKind.POSTGRESQL, AddressKind.MYSQL}


class AuthDatabase:
    """The users and permissions of one database, in one snapshot or transaction.

    Attributes:
        tables: What it holds.
    """

    def __init__(self, address: Address, connection: Connection) -> None:
        """Look what is there; whoever opened the connection closes it if this fails.

        Raises:
            RefusedError: MLflow has no users there.
        """
        self.address = address
        self._connection = connection
        actual = actual_tables(connection)
        if not has_users(actual):
            raise RefusedError(
                "is not a database of MLflow's users",
                subject=str(address),
                hint="name the `database_uri` of the server's basic_auth.ini; where there is none "
                "yet, `python -m mlflow.server.auth db upgrade --url DATABASE` makes its tables",
            )
        self.rows = UserRows(actual, connection)
        self.tables = self.rows.tables

    def has(self, table: str) -> bool:
        """Whether a table is here."""
        return any(entry.name == table for entry in self.tables)

    def among(self, tables: Iterable[Table]) -> tuple[Table, ...]:
        """Tables of a registry, with these in place of any of the same names."""
        return (*(table for table in tables if not self.has(table.name)), *self.tables)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self.rows.count(self._connection, table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        entry = next(entry for entry in self.tables if entry.name == table)
        return self.rows.read(self._connection, entry, columns, among)

    def losses(self) -> Iterator[LeftOut]:
        """What has no name to go by."""
        return self.rows.losses(self._connection)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch]) -> int:
        """Append rows within the transaction; return how many."""
        return self.rows.write(self._connection, table, batches)

    def commit(self) -> None:
        """Keep what was written.

        Raises:
            UnreachableError: it could not; the registry, which is in another database, was kept.
        """
        try:
            self._connection.execute("COMMIT")
        except MlporterError as error:
            raise UnreachableError(
                f"the registry was committed, but its users were not: {error.message}",
                subject=str(self.address),
                hint="run the same command again to copy what is missing",
            ) from error
        finally:
            self.close()

    def rollback(self) -> None:
        """Forget what was written; never fails."""
        if not self._connection.closed:
            with suppress(MlporterError):
                self._connection.execute("ROLLBACK")
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _checked(address: Address) -> Address:
    if address.kind not in _DATABASES:
        raise UsageError(
            "MLflow's users are in a database",
            subject=str(address),
            hint="name it as sqlite:///basic_auth.db, postgresql://… or mysql://…",
        )
    return address


class _AuthSnapshot(AuthDatabase):
    """Read only, and consistent in itself; it is another database than the registry's."""

    def __init__(self, address: Address) -> None:
        self._snapshot = snapshot_of(address)
        with closed_on_error(self._snapshot):
            super().__init__(address, self._snapshot.connect())

    def close(self) -> None:
        """End the snapshot."""
        super().close()
        self._snapshot.close()


def open_auth(address: Address) -> AuthDatabase:
    """Open a database of users for reading.

    Raises:
        UsageError: it is no address of a database; UnreachableError: it cannot be reached.
        RefusedError: MLflow has no users there.
    """
    return _AuthSnapshot(_checked(address))


def open_auth_for_writing(auth: Address, registry: Address) -> AuthDatabase:
    """Open a database of users and begin a transaction.

    Raises:
        UsageError: it is no address of a database, or the `registry`'s own.
        RevisionError: an older MLflow made it.
        UnreachableError, RefusedError: as `open_auth`.
    """
    address = check_auth(auth, registry)
    connection: Connection
    if address.kind is AddressKind.SQLITE and address.path is not None:
        sqlite.check_file(address.path, str(address))
        connection = sqlite.open_writer(address.path, str(address))
    elif address.kind is AddressKind.MYSQL:
        connection = mysql.connect(address)
    else:
        connection = postgresql.connect(address.libpq, str(address))
    with closed_on_error(connection):
        if address.kind is AddressKind.SQLITE:
            sqlite.begin_writing(connection)
        else:
            connection.execute("BEGIN")
        return check_writable(AuthDatabase(address, connection))


def check_auth(auth: Address, registry: Address) -> Address:
    """The address of a database of users beside a registry's, if it is one.

    Raises:
        UsageError: it is no address of a database, or the registry's own.
    """
    address = _checked(auth)
    if is_same_place(address, registry):
        raise UsageError(
            "the users' database is the target itself",
            subject=str(address),
            hint="leave --target-auth out: users go to the target's own tables",
        )
    return address


def check_writable(auth: AuthDatabase) -> AuthDatabase:
    """Refuse to write roles where MLflow has none.

    Raises:
        RevisionError: an older MLflow made it.
    """
    if not auth.rows.is_writable:
        raise RevisionError(
            "its users are from an older MLflow, without today's roles",
            subject=str(auth.address),
            hint="python -m mlflow.server.auth db upgrade --url DATABASE brings them up to date",
        )
    return auth


class WithUsers(Wrapped):
    """A registry with the users and permissions of another database in place of its own."""

    def __init__(self, inner: Source, auth: AuthDatabase) -> None:
        super().__init__(inner)
        self._auth = auth

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those of the registry, and the users'."""
        return self._auth.among(self.inner.tables)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self._auth.count(table) if self._auth.has(table) else self.inner.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if self._auth.has(table):
            return self._auth.read(table, columns, among)
        return self.inner.read(table, columns, among)

    def losses(self) -> Iterator[LeftOut]:
        """What of both cannot be read."""
        yield from self.inner.losses()
        yield from self._auth.losses()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know: where the users are from, too."""
        own = [table.name for table in self.inner.tables if self._auth.has(table.name)]
        more = f", and not its own tables {', '.join(own)}" if own else ""
        inner = (note for note in self.inner.notes if note != USERS_NOT_SEEN)
        return (*inner, f"Users and permissions are those of {self._auth.address}{more}.")

    def close(self) -> None:
        """End both snapshots."""
        self._auth.close()
        self.inner.close()
