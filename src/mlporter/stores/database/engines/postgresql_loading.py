"""A large table of PostgreSQL, filled by several connections: all or nothing all the same.

What one connection has not committed, no other sees. So several write into a table of ours and
commit it, which nobody looks at; the transaction of the import puts it in the place of the real
one, empty until then, in a moment. What a killed process leaves is a table of ours, which
the next import removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from mlporter.errors import MlporterError, RefusedError
from mlporter.stores.database.connection.bulk_load import KEPT_INDEX, helpers_for, sort_settings
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.many_writers import call_by_many, write_by_many
from mlporter.stores.database.connection.sections import LARGE
from mlporter.stores.database.connection.sql_filters import literal
from mlporter.stores.database.connection.unfit_values import Asked, UnfitValueReader
from mlporter.stores.database.engines.postgresql_sections import LargeTables
from mlporter.workers.choice import usual_jobs

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["StagedLoads", "remove_leftovers"]

_log = logging.getLogger(__name__)

_PREFIX = "mlporter_loading_"
_MARK = "mlporter: rows on their way into a table; nobody needs it once mlporter has ended"

_LEFTOVERS = f"""
SELECT c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
WHERE c.relkind = 'r'
    AND starts_with(c.relname, '{_PREFIX}') AND obj_description(c.oid, 'pg_class') = '{_MARK}'
"""

_REASONS = """
SELECT reason FROM (
    SELECT c.*, n.nspname, array(
        SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid
    ) AS indexes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass({table})
) c CROSS JOIN LATERAL (VALUES
    (0, '', EXISTS (SELECT 1 FROM pg_constraint WHERE confrelid = c.oid)),
    (1, 'somebody else owns it', c.relowner <> (
        SELECT oid FROM pg_roles WHERE rolname = current_user)),
    (2, 'it is in another schema', c.nspname IS DISTINCT FROM current_schema()),
    (3, 'it is no ordinary table', c.relkind <> 'r' OR c.relpersistence <> 'p'
        OR c.relispartition OR c.reltablespace <> 0 OR c.reloptions IS NOT NULL
        OR c.relrowsecurity OR c.relforcerowsecurity OR c.relreplident <> 'd' OR c.reloftype <> 0),
    (4, 'others have rights to it', c.relacl IS NOT NULL OR EXISTS (
        SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL)),
    (5, 'it is published', EXISTS (SELECT 1 FROM pg_publication_tables p
        WHERE p.schemaname = c.nspname AND p.tablename = c.relname)),
    (6, 'its columns have settings of their own', EXISTS (
        SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0
        AND NOT attisdropped AND (attoptions IS NOT NULL OR attidentity <> ''
            OR coalesce(attstattarget, -1) <> -1))),
    (7, 'it, or an index of it, has a comment', EXISTS (
        SELECT 1 FROM pg_description WHERE objoid = c.oid OR objoid = ANY (c.indexes)
        OR objoid IN (SELECT oid FROM pg_constraint WHERE conrelid = c.oid))),
    (8, 'an index of it is special', EXISTS (SELECT 1 FROM pg_index i
        JOIN pg_class o ON o.oid = i.indexrelid WHERE i.indrelid = c.oid AND (
            {kept_index} OR NOT i.indisvalid OR NOT i.indimmediate OR i.indisexclusion))),
    (9, 'a rule of it is not held by all rows', EXISTS (
        SELECT 1 FROM pg_constraint WHERE conrelid = c.oid AND NOT convalidated)),
    (10, 'other tables inherit', EXISTS (
        SELECT 1 FROM pg_inherits WHERE inhparent = c.oid OR inhrelid = c.oid)),
    (11, 'a view, trigger, policy or the like depends on it', EXISTS (
        SELECT 1 FROM pg_depend WHERE deptype <> 'i' AND (
            refclassid = 'pg_class'::regclass AND refobjid = c.oid
                AND classid NOT IN ('pg_constraint'::regclass, 'pg_attrdef'::regclass)
                AND objid <> ALL (c.indexes)
            OR refclassid = 'pg_type'::regclass AND refobjid = c.reltype)))
) AS found (place, reason, is_so)
WHERE is_so ORDER BY place LIMIT 1
"""
"""Why a table cannot be replaced by another one without losing something of it.

Nothing is said of tables that others refer to: they are so in every database of MLflow's.
"""

_ALIKE = """
SELECT a.relowner = b.relowner AND a.relacl IS NOT DISTINCT FROM b.relacl
    AND a.reltablespace = b.reltablespace AND a.relam = b.relam
    AND a.relpersistence = b.relpersistence
    AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = b.oid)
FROM pg_class a CROSS JOIN pg_class b
WHERE a.oid = {table}::regclass AND b.oid = {staged}::regclass
"""
"""Whether a new table has what it was not told to have: default privileges, a tablespace."""

_INDEXES = """
SELECT o.relname, coalesce(k.conname, ''), coalesce(k.contype::text, ''), i.indisunique,
    pg_get_indexdef(i.indexrelid),
    format('CREATE %sINDEX %I ON %I.%I ',
        CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, o.relname, n.nspname, c.relname),
    coalesce((SELECT attname FROM pg_attribute
        WHERE attrelid = i.indrelid AND attnum = i.indkey[0]), '')
FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
WHERE i.indrelid = {table}::regclass
ORDER BY coalesce(k.contype, '') <> 'p', o.relname
"""

_FOREIGN_KEYS = """
SELECT format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid = {table}::regclass AND contype = 'f' ORDER BY conname
"""

_KEYS = {"p": "PRIMARY KEY", "u": "UNIQUE"}


class _Index(NamedTuple):
    """An index of the real table.

    Attributes:
        name: Its name, and `staged` that of the one which will be it.
        create: Makes that.
        constraint: What to add to the table for it to be a constraint's; empty for none.
        column: The first column.
    """

    name: str
    staged: str
    create: str
    constraint: str
    column: str


Check = Callable[[Iterator[pa.RecordBatch]], None]


class StagedLoads:
    """Fills empty tables by several connections, for one transaction.

    Attributes:
        tables: The names of those that were filled so.
    """

    def __init__(
        self, connection: Connection, connect: Callable[[], Connection], jobs: int | None
    ) -> None:
        """Nothing is opened.

        Args:
            connection: In the transaction, which sees what others commit meanwhile.
            connect: Opens another one.
            jobs: How many write a large table; None is by the processors, and is not spoken of.
        """
        self._connection = connection
        self._connect = connect
        self._jobs = usual_jobs() if jobs is None else jobs
        self._level = logging.INFO if jobs is None else logging.WARNING
        self.tables: set[str] = set()

    def write(
        self,
        table: Table,
        schema: pa.Schema,
        batches: Iterator[pa.RecordBatch],
        rows: int,
        check: Check,
    ) -> int | None:
        """Fill an empty table; return the rows written, or None if that is not for several.

        Args:
            table: Which.
            schema: That of the batches.
            batches: Sorted by its key. None is taken unless something is written.
            rows: About how many will come.
            check: Is given the rows that were written, by key, and raises if they are others.

        Raises:
            RefusedError: somebody else writes into it meanwhile, or changes it.
        """
        if rows < LARGE or self._jobs == 1:
            return None
        reason, indexes = _look_at(self._connection, table.name)
        if reason is not None:
            self._say_one(table.name, reason)
            return None
        helpers = helpers_for(self._connection, table.name, rows)
        with ExitStack() as stack:
            others = self._others(table.name, helpers, stack)
            if not others:
                return None
            self.tables.add(table.name)
            stop = partial(_end, self._connection, _pids(others))
            written = write_by_many(others, _PREFIX + table.name, schema, batches, stop)
            lent = _Lent(others)
            _make_indexes(lent, indexes, partial(sort_settings, table.order[0], helpers), stop)
            with closing(_read(table, written, lent)) as found:
                check(found)
        self._put_in_place(table.name, indexes)
        return written

    def _others(self, table: str, helpers: int | None, stack: ExitStack) -> list[Connection]:
        """As many connections as are to write, with the staged table made; none if it cannot be."""
        with ExitStack() as opened:
            try:
                others = [opened.enter_context(closing(self._connect())) for _ in range(self._jobs)]
                is_alike = _make(others[0], table, helpers)
            except MlporterError as error:
                self._say_one(table, error.message)
                return []
            if not is_alike:
                others[0].execute(f"DROP TABLE {quoted(_PREFIX + table)}")
                self._say_one(table, "a new table would have other rights, or lie elsewhere")
                return []
            stack.push(opened.pop_all())
            return others

    def _say_one(self, table: str, why: str) -> None:
        if why:
            said = "%s is written by one connection, not by %d: %s"
            _log.log(self._level, said, table, self._jobs, why)

    def _put_in_place(self, table: str, indexes: Sequence[_Index]) -> None:
        """Let the staged table be the real one, once the transaction is committed."""
        connection, name, staged = self._connection, quoted(table), quoted(_PREFIX + table)
        connection.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
        is_empty = not connection.scalar(f"SELECT EXISTS (SELECT 1 FROM {name})")
        if not is_empty or _look_at(connection, table) != (None, indexes):
            what = "changed" if is_empty else "written into"
            raise RefusedError(
                f"somebody else has {what} the table {table} meanwhile",
                subject=connection.subject,
                hint="nothing was kept; stop whoever does, or run it again",
            )
        keys = connection.rows(_FOREIGN_KEYS.format(table=literal(name)))
        connection.execute(f"DROP TABLE {name}")
        connection.execute(f"COMMENT ON TABLE {staged} IS NULL")
        connection.execute(f"ALTER TABLE {staged} RESET (autovacuum_enabled, parallel_workers)")
        connection.execute(f"ALTER TABLE {staged} RENAME TO {name}")
        for index in indexes:
            if index.constraint:
                connection.execute(f"ALTER TABLE {name} {index.constraint}")
            else:
                connection.execute(
                    f"ALTER INDEX {quoted(index.staged)} RENAME TO {quoted(index.name)}"
                )
        for (key,) in keys:
            connection.execute(f"ALTER TABLE {name} {key}")


def remove_leftovers(connection: Connection) -> None:
    """Remove what was staged, and not put in its place; of processes that were killed, too.

    Args:
        connection: Has the lock that lets one import at a time into the database.
    """
    for (name,) in connection.rows(_LEFTOVERS):
        connection.execute(f"DROP TABLE {name}")


def _make(connection: Connection, table: str, helpers: int | None) -> bool:
    """Make an empty table like another one, without its indexes; False if it is not like it."""
    staged = quoted(_PREFIX + table)
    connection.execute("BEGIN")  # what is not marked would never be removed
    connection.execute(
        f"CREATE TABLE {staged} (LIKE {quoted(table)} INCLUDING ALL EXCLUDING INDEXES)"
        " WITH (autovacuum_enabled = off"
        + ("" if helpers is None else f", parallel_workers = {helpers}")
        + ")"
    )
    connection.execute(f"COMMENT ON TABLE {staged} IS {literal(_MARK)}")
    connection.execute("COMMIT")
    return bool(
        connection.scalar(_ALIKE.format(table=literal(quoted(table)), staged=literal(staged)))
    )


def _look_at(connection: Connection, table: str) -> tuple[str | None, list[_Index]]:
    """Why a table cannot be replaced, or None; and its indexes, if it can be."""
    asked = _REASONS.format(table=literal(quoted(table)), kept_index=KEPT_INDEX)
    reason = connection.scalar(asked)
    if reason is not None:
        return str(reason), []
    indexes = _indexes(connection, table)
    return ("an index of it is special", []) if indexes is None else (None, indexes)


def _indexes(connection: Connection, table: str) -> list[_Index] | None:
    """Those of a table, the primary key's first; None if one cannot be made from what it says."""
    found = []
    rows = connection.rows(_INDEXES.format(table=literal(quoted(table))))
    for number, (name, constraint, kind, unique, made, begin, column) in enumerate(rows):
        if not made.startswith(begin) or (constraint and kind not in _KEYS):
            return None
        staged = f"{_PREFIX}{number}_{table}"
        create = (
            f"CREATE {'UNIQUE ' if unique else ''}INDEX {quoted(staged)}"
            f" ON {quoted(_PREFIX + table)} {made.removeprefix(begin)}"
        )
        add = ""
        if constraint:
            add = f"ADD CONSTRAINT {quoted(constraint)} {_KEYS[kind]} USING INDEX {quoted(staged)}"
        found.append(_Index(name, staged, create, add, column))
    return found


class _Lent:
    """Connections, each of which is used for one thing at a time."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.all = connections
        self._free: SimpleQueue[Connection] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """One that is free."""
        connection = self._free.get()
        try:
            yield connection
        finally:
            self._free.put(connection)


def _make_indexes(
    lent: _Lent,
    indexes: Sequence[_Index],
    settings: Callable[[str], tuple[str, ...]],
    stop: Callable[[], None],
) -> None:
    """Make the indexes of a staged table, as many at a time as there are connections."""

    def make(index: _Index) -> None:
        with lent.one() as connection:
            for setting in settings(index.column):
                connection.execute(f"SET {setting}")
            connection.execute(index.create)

    call_by_many([partial(make, index) for index in indexes], len(lent.all), stop)


def _read(table: Table, rows: int, lent: _Lent) -> Generator[pa.RecordBatch, None, None]:
    """The rows of a staged table by key, read by all connections."""
    staged = replace(table, name=_PREFIX + table.name)
    columns = tuple(column for column in table.columns if not column.generated)
    tables = LargeTables(len(lent.all), lent.one, RLock(), UnfitValueReader(), spare=0)
    for connection in lent.all:
        connection.execute("BEGIN")
    yield from tables.read(Asked(staged, columns), lambda: rows)
    for connection in lent.all:
        connection.execute("COMMIT")


def _pids(connections: Sequence[Connection]) -> list[int]:
    return [int(one.scalar("SELECT pg_backend_pid()")) for one in connections]


def _end(connection: Connection, pids: Sequence[int]) -> None:
    """End what other connections of ours do, and these with it."""
    listed = ", ".join(map(str, pids))
    with suppress(MlporterError):
        connection.rows(f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{listed}]) AS pid")
