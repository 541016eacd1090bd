"""A database looked at as a target, before anything is written: what a dry run plans with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import is_folder, is_there
from mlporter.catalogue import HEAD_REVISION, RETIRED_COLUMNS, TABLES, is_newer
from mlporter.catalogue.types import Kind
from mlporter.closing import closed_on_error
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.auth_database import (
    AuthDatabase,
    check_auth,
    check_writable,
    open_auth,
)
from mlporter.stores.database.engines.snapshots import snapshot_of
from mlporter.stores.database.history.shape import has_dimensions, tables_at
from mlporter.stores.database.history.traces_before import DIMENSIONS
from mlporter.stores.database.reader import is_fresh
from mlporter.stores.database.schema.other_databases import check_not_beside
from mlporter.stores.database.schema.reflection import actual_tables
from mlporter.stores.database.schema.revision import read_revision
from mlporter.stores.database.schema.scripts import installed_scripts
from mlporter.stores.database.schema.standing import (
    check_standing,
    how_to_hold,
    revision_to_make,
)
from mlporter.stores.database.source import DatabaseSource
from mlporter.stores.protocols import points_by_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Among

__all__ = ["NothingThere", "Preview", "has_no_tables", "open_preview", "revision_there"]


class NothingThere:
    """A target without any rows: tables that are still to be made, or are as MLflow makes them."""

    limits = None

    def __init__(self, tables: tuple[Table, ...] = TABLES, revision: str = HEAD_REVISION) -> None:
        self.tables = tables
        self.revision = revision

    def read(
        self,
        table: str,  # noqa: ARG002 -- no table has any rows
        columns: tuple[str, ...] | None = None,  # noqa: ARG002
        among: Among | None = None,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch]:
        """No rows."""
        return iter(())

    def count(self, table: str) -> int:  # noqa: ARG002 -- as above
        """No rows."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class Preview:
    """A database as an import would find it; nothing is written, nothing is locked."""

    def __init__(
        self,
        address: Address,
        inner: DatabaseSource | NothingThere,
        auth: AuthDatabase | None = None,
    ) -> None:
        self.address = address
        self._inner = inner
        self._auth = auth
        self.revision = _revision(inner)
        self.tables = auth.among(inner.tables) if auth is not None else inner.tables

    def how_to_hold(self, revision: str) -> str:
        """What to do for it to hold all of a newer schema."""
        return how_to_hold(revision, installed_scripts(), self.address)

    @property
    def enforces_caps(self) -> bool:
        """Whether too long a value is an error here; SQLite takes any length."""
        return self.address.kind is not AddressKind.SQLITE

    @property
    def limits(self) -> Limits | None:
        """What it says itself of what it can hold, or None."""
        return self._inner.limits

    @property
    def is_fresh(self) -> bool:
        """Whether it holds nothing but what MLflow puts into a new database."""
        return isinstance(self._inner, NothingThere) or is_fresh(self._inner)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if self._auth is not None and self._auth.has(table):
            return self._auth.read(table, columns, among)
        return self._inner.read(table, columns, among)

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any."""
        return points_by_run(self._inner) or iter(())

    def count(self, table: str) -> int:
        """Rows of a table."""
        if self._auth is not None and self._auth.has(table):
            return self._auth.count(table)
        return self._inner.count(table)

    def close(self) -> None:
        """End the snapshot."""
        if self._auth is not None:
            self._auth.close()
        self._inner.close()


def _revision(inner: DatabaseSource | NothingThere) -> str:
    return inner.revision if isinstance(inner, NothingThere) else inner.description.revision


def open_preview(
    address: Address, revision: str, auth: Address | None = None, *, tables: tuple[Table, ...] = ()
) -> Preview:
    """Look at a database that rows of a schema revision would go to, and at that of its users.

    Args:
        address: Where.
        revision: Of the rows.
        auth: Where the users go, if that is another database.
        tables: The source's: a schema that is made for them has the same ones.

    Raises:
        RevisionError: it is at a revision that they do not go into, or MLflow would make such one.
        UnreachableError: it cannot be reached.
    """
    users = None if auth is None else _open_users(auth, address)
    with closed_on_error(*(() if users is None else (users,))):
        return Preview(address, _open(address, revision, tables), users)


def _open_users(auth: Address, address: Address) -> AuthDatabase:
    check_auth(auth, address)
    users = open_auth(auth)
    with closed_on_error(users):
        return check_writable(users)


def _open(
    address: Address, revision: str, tables: tuple[Table, ...]
) -> DatabaseSource | NothingThere:
    if has_no_tables(address):
        made = revision_to_make(revision, installed_scripts(), address)
        return NothingThere(_as_made(made, tables if made == revision else ()), made)
    source = DatabaseSource(address, older=False, exactly=revision)
    with closed_on_error(source):
        check_standing(source.description.revision, revision, installed_scripts(), address)
    return source


def _as_made(revision: str, tables: tuple[Table, ...]) -> tuple[Table, ...]:
    """The tables that MLflow makes at a revision, of which these are the source's."""
    here = {table.name: table for table in tables}
    own = tuple(table for table in tables if table.kind is Kind.NEWER)
    known = tables_at(revision)
    return (*(_with_more(revision, table, here.get(table.name)) for table in known), *own)


def _with_more(revision: str, table: Table, here: Table | None) -> Table:
    """A table with columns that the catalogue does not know, or knows no more."""
    more = tuple(
        column
        for column in (here.columns if here is not None else ())
        if column.name not in table.by_name
        and (is_newer(revision) or (table.name, column.name) in RETIRED_COLUMNS)
    )
    if table.name == "spans" and not more and has_dimensions(revision):
        more = (DIMENSIONS,)
    return replace(table, columns=table.columns + more) if more else table


def revision_there(address: Address) -> str | None:
    """The schema revision that a database is at; None where it has no tables yet.

    Raises:
        RefusedError: it is none of MLflow's.
        UnreachableError: it cannot be reached.
    """
    if has_no_tables(address):
        return None
    snapshot = snapshot_of(address, part=True)
    try:
        connection = snapshot.connect()
        try:
            return read_revision(connection, actual_tables(connection), address)
        finally:
            connection.close()
    finally:
        snapshot.close()


def has_no_tables(address: Address) -> bool:
    """Whether there is no table yet, neither MLflow's nor another program's."""
    path = address.path
    if address.kind is AddressKind.SQLITE and path is not None:
        return is_folder(path.parent) and not (is_there(path) and path.stat().st_size)
    snapshot = snapshot_of(address)
    try:
        connection = snapshot.connect()
        try:
            nothing = not actual_tables(connection)
            if nothing:
                check_not_beside(address, connection)
            return nothing
        finally:
            connection.close()
    finally:
        snapshot.close()
