"""Rows of a registry that is in no database, kept in a private one while they are read.

A file store or a tracking server cannot be asked for its rows by key, counted or joined. What is
read from it is appended here, in any order, and comes out again as the tables of a database do:
sorted, in batches, a part of them, without growing in memory.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from functools import cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import HEAD_REVISION
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.engines import sqlite
from mlporter.stores.database.history.shape import tables_at
from mlporter.stores.database.reader import DatabaseReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlporter.catalogue.types import Table

__all__ = ["ScratchRegistry"]


class ScratchRegistry:
    """The catalogue's tables, empty at first, without keys: nothing that is appended is refused.

    Whoever appends the same row twice gets it back twice. Safe to use from several threads.

    Attributes:
        reader: Reads what was appended so far: `count`, and `read` sorted by key.
        folder: The private folder that it is in; what else is put there is forgotten with it.
    """

    def __init__(self, subject: str, revision: str = HEAD_REVISION) -> None:
        """Make it in the system's temporary folder, for its owner only.

        Args:
            subject: What the rows are of, for errors; redacted.
            revision: Whose tables and columns it has; of what is appended, the rest is dropped.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="mlporter-"))
        self._lock = Lock()
        tables = tables_at(revision)
        self._by_name = {table.name: table for table in tables}
        try:
            path = self.folder / "scratch.db"
            _make(path, revision)
            self._connection = sqlite.open_scratch(path, subject)
            address = Address(AddressKind.SQLITE, subject, path)
            self.reader = DatabaseReader(address, lambda: self._connection)
        except BaseException:
            self._remove()
            raise

    def append(self, table: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Append batches of a table's schema, or of some columns of it; return their rows.

        Columns that are not given are NULL.
        """
        rows = iter(batches)
        first = next(rows, None)
        if first is None:
            return 0
        with self._lock:
            self._connection.execute("BEGIN")
            count = self._connection.ingest(table, first.schema, chain([first], rows))
            self._connection.execute("COMMIT")
        return count

    def append_rows(self, table: str, rows: Iterable[Mapping[str, object]]) -> int:
        """Append rows given as values by column name; what is not given is NULL."""
        found = list(rows)
        if not found or table not in self._by_name:
            return 0
        schema = pa.schema(
            [pa.field(field.name, field.type) for field in self._by_name[table].schema]
        )
        return self.append(table, [pa.RecordBatch.from_pylist(found, schema=schema)])

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            shutil.rmtree(self.folder)


def _make(path: Path, revision: str) -> None:
    """All tables in one call: every place that is opened has some."""
    with closing(sqlite3.connect(path, isolation_level=None)) as new:
        new.executescript(_statements(revision))


@cache
def _statements(revision: str) -> str:
    return ";\n".join(
        (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "BEGIN",
            *(_create(table) for table in tables_at(revision)),
            "CREATE TABLE alembic_version (version_num TEXT)",
            f"INSERT INTO alembic_version VALUES ('{revision}')",
            "COMMIT",
        )
    )


def _create(table: Table) -> str:
    columns = ", ".join(f"{quoted(c.name)} {_declared(c.type)}" for c in table.columns)
    return f"CREATE TABLE {quoted(table.name)} ({columns})"


def _declared(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "INTEGER"
    if pa.types.is_floating(kind):
        return "REAL"
    return "BLOB" if pa.types.is_binary(kind) else "TEXT"
