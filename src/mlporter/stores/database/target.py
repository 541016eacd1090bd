"""An empty database that takes a whole registry in one transaction."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import is_older
from mlporter.catalogue.types import Kind, Table
from mlporter.errors import (
    AccessDeniedError,
    MlporterError,
    RefusedError,
    RevisionError,
    TargetNotEmptyError,
    UnreachableError,
)
from mlporter.stores.address import Address, AddressKind
from mlporter.stores.database import postgresql, sqlite
from mlporter.stores.database.bulk import bulk_load
from mlporter.stores.database.connection import quoted
from mlporter.stores.database.derived import rebuild, set_sequences
from mlporter.stores.database.reflection import actual_tables, as_catalogue
from mlporter.stores.database.schema import check_can_create, create_schema
from mlporter.stores.database.source import read_revision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.stores.database.connection import Connection

__all__ = ["DatabaseTarget", "open_database_target"]

_ADVISORY_LOCK = 0x6D6C706F72746572  # "mlporter": one import at a time into a database


class DatabaseTarget:
    """A database being filled: everything until `commit` is one transaction.

    Rows written can be read back (`read`) before they are committed. `rollback` leaves the
    database as it was found; a new SQLite file appears under its name only with `commit`.
    """

    def __init__(self, address: Address, connection: Connection, staged: Path | None) -> None:
        self.address = address
        self._connection = connection
        self._staged = staged
        self._ending = Lock()
        self._committed = False
        self._actual = actual_tables(connection)
        self.revision = read_revision(connection, self._actual, address)
        self.tables = as_catalogue(self._actual)
        self._by_name = {table.name: table for table in self.tables}

    @property
    def enforces_caps(self) -> bool:
        """Whether too long a value is an error here; SQLite takes any length."""
        return self.address.kind is not AddressKind.SQLITE

    def check_revision(self, revision: str) -> None:
        """Refuse rows of another schema revision than this database's.

        Raises:
            RevisionError: the revisions differ.
        """
        if self.revision != revision:
            older = is_older(self.revision)
            raise RevisionError(
                f"its schema is at revision {self.revision}, the source is at {revision}",
                subject=str(self.address),
                hint=self.address.upgrade_command if older else "its MLflow is not the source's",
            )

    def check_empty(self) -> None:
        """Refuse a database that holds anything but what MLflow puts into a new one.

        Raises:
            TargetNotEmptyError: naming each table that has rows, and how many.
        """
        found = {}
        for table in self.tables:
            if table.kind in {Kind.KEPT, Kind.SECRET}:
                sql = f"SELECT count(*) FROM {quoted(table.name)}{_fresh(table.name)}"
                if count := int(self._connection.scalar(sql)):
                    found[table.name] = count
        if found:
            raise TargetNotEmptyError(
                "the target is not empty",
                subject=str(self.address),
                hint="this release imports into an empty database: create a new one",
                reasons=tuple(
                    f"{name}: {count} row{'s' * (count != 1)}" for name, count in found.items()
                ),
            )

    def replace_fresh(self, *, experiments: bool) -> None:
        """Make room for the source's own `default` workspace and `Default` experiment."""
        if "workspaces" in self._by_name:
            self._connection.execute("DELETE FROM workspaces WHERE name = 'default'")
        if experiments:
            self._connection.execute("DELETE FROM experiments WHERE experiment_id = 0")

    def write(self, table: Table, batches: Iterator[pa.RecordBatch], expected: int) -> int:
        """Append rows, whose columns are those of `table`, to an empty table; return how many.

        `expected` is about how many will come.
        """
        schema = self._written_schema(table)
        with bulk_load(self._connection, table.name, expected):
            return self._connection.ingest(
                table.name, schema, (batch.cast(schema) for batch in batches)
            )

    def read(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Read back rows of a table, by key, as `table` types them."""
        columns = tuple(c for c in table.columns if not c.generated)
        yield from self._connection.read(table, columns)

    def finish(self) -> None:
        """Rebuild what is derived, and set sequences."""
        with bulk_load(self._connection, "latest_metrics", self._rows("metrics")):
            rebuild(self._connection, frozenset(self._by_name))
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

    def _rows(self, table: str) -> int:
        return int(self._connection.scalar(f"SELECT count(*) FROM {quoted(table)}"))

    def commit(self) -> None:
        """Make everything visible at once.

        In a thread, as signals interrupt the main one only. One that comes now comes too late: it
        is waited for what was begun, and if that succeeds, then the work is done.

        Raises:
            UnreachableError: the database could not commit; nothing was kept.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="commit") as pool:
            committed = pool.submit(self._commit)
            try:
                committed.result()
            except KeyboardInterrupt:
                committed.result()

    def _commit(self) -> None:
        with self._ending:
            self._connection.execute("COMMIT")
            self._committed = self._staged is None
            self._connection.close()
            if self._staged is not None and self.address.path is not None:
                _settle(self._staged, self.address.path)
                self._committed = True

    def rollback(self) -> bool:
        """Undo everything, and say whether that was still possible; never fails."""
        with self._ending:
            if self._committed:
                return False
            if not self._connection.closed:
                with suppress(MlporterError):
                    self._connection.execute("ROLLBACK")
                self._connection.close()
            if self._staged is not None:
                _remove(self._staged)
            return True


def _fresh(table: str) -> str:
    """What a new schema holds by itself, as a condition that leaves it out."""
    return {
        "workspaces": " WHERE name <> 'default'",
        "experiments": " WHERE NOT (experiment_id = 0 AND name = 'Default')",
    }.get(table, "")


def open_database_target(address: Address, revision: str) -> DatabaseTarget:
    """Open a database for an import, creating MLflow's schema where there is none.

    Refuses before anything is created where the schema would not fit `revision`; the returned
    target is in its transaction, and known to be empty.
    """
    if address.kind is AddressKind.SQLITE:
        target = _open_sqlite(address, revision)
    else:
        target = _open_postgresql(address, revision)
    try:
        target.check_revision(revision)
        target.check_empty()
    except BaseException:
        target.rollback()
        raise
    return target


def _open_sqlite(address: Address, revision: str) -> DatabaseTarget:
    path = address.path
    if path is None:
        raise RefusedError("has no file", subject=str(address))
    if path.exists() and path.stat().st_size:
        connection = sqlite.open_writer(path, str(address))
        return _begin(address, connection, "BEGIN IMMEDIATE", None)
    if not path.parent.is_dir():
        raise UnreachableError(
            f"there is no folder {path.parent}", subject=str(address), hint="create it first"
        )
    if not os.access(path.parent, os.W_OK):
        raise AccessDeniedError(f"the folder {path.parent} cannot be written", subject=str(address))
    check_can_create(revision, address)
    # Made beside its final name, which it gets by one rename when everything is in it.
    staged = path.with_name(f".{path.name}.mlporter-{os.getpid()}")
    try:
        create_schema(address, staged)
        connection = sqlite.open_writer(staged, str(address))
        return _begin(address, connection, "BEGIN IMMEDIATE", staged)
    except BaseException:
        _remove(staged)
        raise


def _open_postgresql(address: Address, revision: str) -> DatabaseTarget:
    connection = postgresql.connect(address.libpq, str(address))
    try:
        if not actual_tables(connection):
            check_can_create(revision, address)
            create_schema(address)
    except BaseException:
        connection.close()
        raise
    return _begin(address, connection, "BEGIN", None)


def _begin(
    address: Address, connection: Connection, begin: str, staged: Path | None
) -> DatabaseTarget:
    try:
        connection.execute(begin)
        if connection.dialect.name == "postgresql":
            _lock(address, connection)
        return DatabaseTarget(address, connection, staged)
    except BaseException:
        connection.close()
        raise


def _lock(address: Address, connection: Connection) -> None:
    if not connection.scalar(f"SELECT pg_try_advisory_xact_lock({_ADVISORY_LOCK})"):
        raise RefusedError(
            "another import into this database is running",
            subject=str(address),
            hint="wait until it has ended",
        )


def _settle(staged: Path, path: Path) -> None:
    """Give a new database its name, unless somebody else took it meanwhile."""
    if path.exists() and path.stat().st_size:
        _remove(staged)
        raise RefusedError("was created by somebody else meanwhile", subject=str(path))
    staged.replace(path)


def _remove(staged: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        # On read-only media, taking away what never came would hide why it did not.
        with suppress(OSError):
            staged.with_name(staged.name + suffix).unlink()
