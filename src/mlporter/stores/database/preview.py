"""A database looked at as a target, before anything is written: what a dry run plans with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import TABLES
from mlporter.catalogue.types import Kind
from mlporter.errors import RevisionError
from mlporter.stores.address import Address, AddressKind
from mlporter.stores.database.reflection import actual_tables
from mlporter.stores.database.schema import check_can_create
from mlporter.stores.database.source import DatabaseSource, snapshot_of
from mlporter.stores.database.target import is_fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.limits import Limits
    from mlporter.stores.protocols import Among

__all__ = ["NothingThere", "Preview", "open_preview"]


class NothingThere:
    """A target without any rows: tables that are still to be made, or are as MLflow makes them."""

    limits = None

    def __init__(self, tables: tuple[Table, ...] = TABLES) -> None:
        self.tables = tables

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

    def __init__(self, address: Address, inner: DatabaseSource | NothingThere) -> None:
        self.address = address
        self._inner = inner
        self.tables = inner.tables

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
        return self._inner.read(table, columns, among)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self._inner.count(table)

    def close(self) -> None:
        """End the snapshot."""
        self._inner.close()


def open_preview(address: Address, revision: str) -> Preview:
    """Look at a database that rows of a schema revision would go to.

    Raises:
        RevisionError: it is at another revision, or MLflow would make one at another.
        UnreachableError: it cannot be reached.
    """
    if _has_nothing(address):
        check_can_create(revision, address)
        kept = tuple(table for table in TABLES if table.kind is not Kind.UNKNOWN)
        return Preview(address, NothingThere(kept))
    source = DatabaseSource(address, older=False)
    if source.description.revision != revision:
        source.close()
        raise RevisionError(
            f"its schema is at revision {source.description.revision}, the source is at {revision}",
            subject=str(address),
            hint="use the same MLflow release on both sides",
        )
    return Preview(address, source)


def _has_nothing(address: Address) -> bool:
    path = address.path
    if address.kind is AddressKind.SQLITE and path is not None:
        return path.parent.is_dir() and not (path.exists() and path.stat().st_size)
    snapshot = snapshot_of(address)
    try:
        connection = snapshot.connect()
        try:
            return not actual_tables(connection)
        finally:
            connection.close()
    finally:
        snapshot.close()
