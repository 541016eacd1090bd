"""The tables of a database, read with our own SQL, in the shape of the newest schema."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, RLock
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlporter.catalogue import is_newer as is_newer_revision
from mlporter.catalogue.types import Kind
from mlporter.closing import closed_on_error
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.sql_filters import where_clauses
from mlporter.stores.database.connection.unfit_values import Asked, UnfitValueReader
from mlporter.stores.database.engines.postgresql_sections import LargeTables
from mlporter.stores.database.history.losses import losses
from mlporter.stores.database.history.relations import Relation, as_newer
from mlporter.stores.database.history.shape import check_whole, is_old, shape_for
from mlporter.stores.database.history.strangers import check_open, strangers
from mlporter.stores.database.schema.foreign_keys import foreign_keys
from mlporter.stores.database.schema.newer import lacking, mlflows_own
from mlporter.stores.database.schema.reflection import (
    actual_tables,
    as_catalogue,
    closed_tables,
    declared_columns,
)
from mlporter.stores.database.schema.revision import (
    check_needed,
    check_revision,
    is_as_it_is,
    read_revision,
)
from mlporter.stores.database.schema.scripts import installed_scripts
from mlporter.stores.database.schema.user_rows import UserRows, has_users
from mlporter.stores.rows.filters import columns_with, rows_among
from mlporter.stores.rows.other_places import outside_places, with_new_places
from mlporter.stores.rows.point_counts import ANY_POINTS, POINTS, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Column, Table
    from mlporter.errors import LeftOut
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.protocols import Among, Source

__all__ = ["DatabaseReader", "is_fresh"]


class DatabaseReader:
    """Reads tables over connections that see one and the same state of the database.

    A table of an older schema is read as a newer one has it; see `history`. `revision` is then the
    newer, and `stored_revision` the database's own.

    PostgreSQL streams one table at a time over a connection, so another one is opened (into the
    same snapshot) when two are read side by side; SQLite's one connection streams several, and so
    does MySQL's.
    """

    def __init__(  # noqa: PLR0913 -- what a reader may be asked for
        self,
        address: Address,
        connections: Callable[[], Connection],
        *,
        older: bool = False,
        exactly: str = "",
        still: bool = False,
        upgraded: bool = False,
        jobs: int = 1,
    ) -> None:
        """Look what is there.

        Args:
            address: Where, for messages.
            connections: Opens another connection.
            older: Read a schema that is older than the catalogue's as if it had been upgraded.
            exactly: A revision that is read as it is, though it is older.
            still: Whether all connections see one snapshot, so that rows are counted once.
            upgraded: Read it as if it had been upgraded, though the installed MLflow makes it so.
            jobs: So many connections read a large table of PostgreSQL, into one snapshot.

        Raises:
            RefusedError: it is no schema of MLflow's; RevisionError: of none that is read here.
        """
        self.address = address
        self._connect = connections
        self._careful = UnfitValueReader()
        self._opening = RLock()
        self._large = LargeTables(jobs, self.borrowed, self._opening, self._careful)
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._lock = Lock()
        self._still = still
        self._counts: dict[str, int] = {}
        with closed_on_error(self):
            with self.borrowed() as connection:
                found = actual_tables(connection)
                self.stored_revision = read_revision(connection, found, address)
                closed, hidden = closed_tables(connection)
                check_open(hidden, address)
                self._strangers = strangers(found, self.stored_revision, closed)
                self.actual = {n: found[n] for n in found if n not in self._strangers}
                self.users = UserRows(self.actual, connection) if has_users(self.actual) else None
                is_newer = is_newer_revision(self.stored_revision)
                keys = foreign_keys(connection) if is_newer else ()
            self._check(older=older, exactly=exactly)
            self.revision = self.stored_revision
            self.is_sure = not is_newer or self.revision in installed_scripts().revisions
            names = installed_scripts().tables if self.is_sure else frozenset[str]()
            own = mlflows_own(self.actual, keys, names) if is_newer else frozenset[str]()
            self.tables = as_catalogue(self.actual, own, keys)
            if is_newer:
                reasons = tuple(lacking(self.tables, declared_columns(self.actual)))
                check_needed(self.revision, reasons, address)
            self._relations: dict[str, Relation] = {}
            as_it_is = is_as_it_is(self.revision) and not (upgraded and is_old(self.revision))
            if not is_newer and not as_it_is and self.revision != exactly:
                self.revision = shape_for(self.stored_revision)
                revisions = (self.stored_revision, self.revision)
                self.tables, self._relations = as_newer(
                    self.actual, self.tables, revisions, address
                )
            if self.users is not None and (older or self.users.is_writable):
                self.tables += self.users.tables
        self.by_name = {table.name: table for table in self.tables}
        if is_newer:
            self._find_places()

    def _find_places(self) -> None:
        """Look which new columns hold artifact URIs."""
        with closed_on_error(self):
            self.tables = tuple(with_new_places(self.tables, self))
        self.by_name = {table.name: table for table in self.tables}

    def _check(self, *, older: bool, exactly: str) -> None:
        if self.stored_revision != exactly:
            tables = tuple(self.actual)
            check_revision(self.stored_revision, self.address, tables, older=older)
        check_whole(self.stored_revision, self.actual, self.address)

    @contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """A connection into the snapshot, for one thing at a time."""
        with self._opening:
            with self._lock:
                connection = self._free.pop() if self._free else None
            if connection is None:
                connection = self._connect()
                with self._lock:
                    self._all.append(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._free.append(connection)

    def count(self, table: str) -> int:
        """Rows of a table: those that `read` gives, as far as it has met what does not fit."""
        if self.users is not None and self.is_of_users(table):
            with self.borrowed() as connection:
                return self.users.count(connection, table)
        relation = self._relations.get(table)
        if relation is not None and not relation.sql:
            return 0
        rows = relation.rows if relation is not None else quoted(table)
        with self.borrowed() as connection:
            found = self._counted(connection, rows)
            return found - self._careful.rows_left_out(connection, self._asked(table, ()))

    def _counted(self, connection: Connection, rows: str) -> int:
        if not self._still or rows not in self._counts:
            self._counts[rows] = int(connection.scalar(f"SELECT count(*) FROM {rows}"))
        return self._counts[rows]

    @property
    def met_unfit(self) -> bool:
        """Whether anything that was read did not fit its column."""
        return self._careful.met_any

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any: the index says it."""
        relation = self._relations.get("metrics")
        rows = relation.rows if relation is not None else quoted("metrics")
        with self.borrowed() as connection:
            # With a condition it is a small part: no file is copied out of the way to read it.
            total = 0
            for batch in connection.read(POINTS, POINTS.columns, ANY_POINTS, counted(rows)):
                total += pc.sum(batch.column(1)).as_py() or 0
                yield batch
            if self._still:
                self._counts[rows] = total  # so that they need not be counted again

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table, sorted by its key, as `Table.schema` types them."""
        entry = self.by_name[table]
        if self.users is not None and self.is_of_users(table):
            with self.borrowed() as connection:
                yield from self.users.read(connection, entry, columns, among)
            return
        if among is None:
            yield from self._rows(entry, _chosen(entry, columns))
            return
        wanted = _chosen(entry, columns_with(entry, columns, among))
        relation = self._relations.get(table)
        is_computed = relation is not None and relation.is_computed(among.column)
        for where in ("",) if is_computed else where_clauses(entry, among):
            yield from rows_among(self._rows(entry, wanted, where), columns, among)

    def _rows(
        self, entry: Table, columns: tuple[Column, ...], where: str = ""
    ) -> Iterator[pa.RecordBatch]:
        relation = self._relations.get(entry.name)
        if relation is None:
            asked = self._asked(entry.name, columns, where)
            yield from self._large.read(asked, lambda: self.count(entry.name))
        elif relation.sql:
            with self.borrowed() as connection:
                asked = self._asked(entry.name, relation.asked(columns), where)
                for batch in self._careful.read(connection, asked):
                    yield relation.complete(batch, columns)

    def _asked(self, table: str, columns: tuple[Column, ...], where: str = "") -> Asked:
        relation = self._relations.get(table)
        entry = self.by_name[table]
        if relation is None:
            return Asked(entry, columns, where)
        there = frozenset(c.name for c in entry.columns if not relation.is_computed(c.name))
        return Asked(entry.only(there), columns, where, relation.sql)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people of how tables were read."""
        return self._large.notes

    def losses(self) -> Iterator[LeftOut]:
        """What could not be copied as it is stored.

        That is what the newest schema has no room for of an older one's values, lost users, and
        values that did not fit, of all that was read.
        """
        yield from losses(self._relations, self._raw)
        yield from self._careful.entries()
        for name, one in sorted(self._strangers.items()):
            with self.borrowed() as connection:
                count = f"SELECT count(*) FROM {quoted(name)}"
                yield one.loss(0 if one.closed else int(connection.scalar(count)))
        if is_newer_revision(self.revision):
            yield from outside_places(self)
        if self.users is not None:
            with self.borrowed() as connection:
                yield from self.users.losses(connection)

    def is_of_users(self, table: str) -> bool:
        """Whether a table is read and written by names: see `UserRows`."""
        return self.by_name[table].kind is Kind.USERS

    def _raw(self, table: str) -> Iterator[pa.RecordBatch]:
        entry, relation = self.by_name[table], self._relations[table]
        key = tuple(entry.by_name[name] for name in entry.key)
        with self.borrowed() as connection:
            yield from self._careful.read(connection, self._asked(table, (*key, *relation.raw)))

    def read_lying(self, table: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Rows of a table, maybe in the order in which they were written."""
        entry = self.by_name[table]
        with self.borrowed() as connection:
            yield from connection.read(entry, _chosen(entry, columns), as_lying=True)

    def close(self) -> None:
        """Close every connection."""
        self._large.close()
        with self._lock:
            for connection in {id(c): c for c in self._all}.values():
                connection.close()
            self._all.clear()
            self._free.clear()


def _chosen(table: Table, names: tuple[str, ...] | None) -> tuple[Column, ...]:
    if names is None:
        return tuple(c for c in table.columns if not c.generated)
    return tuple(table.by_name[name] for name in names)


def is_fresh(reader: DatabaseReader | Source) -> bool:
    """Whether a database holds nothing but what MLflow puts into a new one."""
    for table in reader.tables:
        count = reader.count(table.name) if table.kind in _HELD else 0
        if count and (table.name not in _FRESH or count > 1 or not _is_fresh_row(reader, table)):
            return False
    return True


_HELD = frozenset({Kind.KEPT, Kind.SECRET, Kind.NEWER})
"""Tables with rows that are somebody's."""

_FRESH: dict[str, dict[str, object]] = {
    "workspaces": {"name": "default"},
    "experiments": {"experiment_id": 0, "name": "Default"},
}
"""The row that a new schema holds by itself."""


def _is_fresh_row(reader: DatabaseReader | Source, table: Table) -> bool:
    row = _FRESH[table.name]
    rows = [row for batch in reader.read(table.name, tuple(row)) for row in batch.to_pylist()]
    return rows == [row]
