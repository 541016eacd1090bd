"""Loading a large table into an empty database as `pg_restore` does: indexes and constraints last.

Keeping three indexes and a foreign key up to date row by row is most of the time that a load of
metrics takes. All of it happens within the one transaction: either the table is back to what it
was declared as, or nothing has happened. MySQL cannot do that, and is loaded as usual.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mlporter.stores.database.connection.connection import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.database.connection.connection import Connection

__all__ = ["KEPT_INDEX", "WORTHWHILE_ROWS", "bulk_load", "helpers_for", "set_sequences"]
__all__ += ["sort_settings"]

WORTHWHILE_ROWS = 10_000
"""Below this many rows nothing is gained."""

_SORT_MEGABYTES = 8
"""What a process sorts in: in 64, 1.5 million rows took a fifth more processor time or a half."""

_FOR_PROCESSES = range(200_000, 10_000_001)
"""Rows for which we say in what memory processes sort together; of more it was not measured."""

# Each statement names what to do, how to undo it, and the first column of what is indexed, if it
# matters.
_SQLITE_INDEXES = """
SELECT printf('DROP INDEX "%w"', name), sql, '' FROM sqlite_master
WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = {name} ORDER BY name
"""

KEPT_INDEX = "o.reltablespace <> 0 OR i.indisclustered OR i.indisreplident"
"""Which index (`pg_index` i, `pg_class` o) is not made anew, as that would lose something of it."""

# Constraints of the table itself: its primary key goes last and comes back first. A table that
# others refer to keeps its key, and only the table's owner may do any of this. What would not come
# back as it was stays: where an index lies, what is said of it, a view that relies on it.
_POSTGRESQL_ALLOWED = """
SELECT pg_has_role(relowner, 'USAGE') AND NOT EXISTS (
    SELECT 1 FROM pg_constraint WHERE confrelid = c.oid
) AND NOT EXISTS (
    SELECT 1 FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid WHERE i.indrelid = c.oid
    AND ({kept_index})
) AND NOT EXISTS (
    SELECT 1 FROM pg_description WHERE objoid IN (
        SELECT indexrelid FROM pg_index WHERE indrelid = c.oid
        UNION SELECT oid FROM pg_constraint WHERE conrelid = c.oid)
) AND NOT EXISTS (
    SELECT 1 FROM pg_depend WHERE refclassid = 'pg_constraint'::regclass
    AND classid = 'pg_rewrite'::regclass
    AND refobjid IN (SELECT oid FROM pg_constraint WHERE conrelid = c.oid)
) FROM pg_class c WHERE c.oid = {identifier}::regclass
"""

_POSTGRESQL_CONSTRAINTS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
              pg_get_constraintdef(oid)),
       CASE contype WHEN 'f' THEN '' ELSE (
           SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]
       ) END
FROM pg_constraint WHERE conrelid = {identifier}::regclass AND contype IN ('p', 'u', 'f')
ORDER BY contype
"""

_POSTGRESQL_INDEXES = """
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid),
       (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0])
FROM pg_index i WHERE i.indrelid = {identifier}::regclass
AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
ORDER BY i.indexrelid::regclass::text
"""


# Who helps to make an index, as the server reckons where nobody said it of the table: each process
# needs 32 MB, the one that is helped among them (`plan_create_index_workers`).
_POSTGRESQL_HELPERS = """
SELECT greatest(0, least(
    current_setting('max_parallel_maintenance_workers')::bigint,
    pg_size_bytes(current_setting('maintenance_work_mem')) / (32 << 20) - 1
)) FROM pg_class WHERE oid = {identifier}::regclass
AND NOT coalesce(array_to_string(reloptions, ',') LIKE '%parallel_workers=%', false)
"""


class _Statement(NamedTuple):
    """What takes something away, and what puts it back.

    Attributes:
        drop: Takes it away.
        create: Puts it back.
        column: The first column of an index; empty for what is none.
    """

    drop: str
    create: str
    column: str


@contextmanager
def bulk_load(connection: Connection, table: str, rows: int, first: str = "") -> Iterator[None]:
    """Take a table's indexes and constraints away, and put them back when it is filled.

    Args:
        connection: In its transaction; an error within leaves it to be rolled back.
        table: An empty table.
        rows: How many rows will come; few are loaded as usual.
        first: The column that they are sorted by first.
    """
    statements = _statements(connection, table) if rows >= WORTHWHILE_ROWS else []
    for statement in statements:
        connection.execute(statement.drop)
    yield
    sorting = None
    if statements and connection.dialect.name == "postgresql":
        sorting = _Sorting(connection, table, rows)
    for statement in reversed(statements):
        if sorting is not None:
            sorting.settle(statement, first)
        connection.execute(statement.create)
    if sorting is not None:
        sorting.end()


class _Sorting:
    """How PostgreSQL sorts for the indexes of a table, while they are put back."""

    def __init__(self, connection: Connection, table: str, rows: int) -> None:
        """Ask the server how many processes it would take for a table of so many rows."""
        self._connection = connection
        self._table = quoted(table)
        self._helpers = helpers_for(connection, table, rows)
        if self._helpers is not None:
            self._say_of_table(f"SET (parallel_workers = {self._helpers})")

    def settle(self, statement: _Statement, first: str) -> None:
        """Say how the next statement sorts; the rows lie in the order of the column `first`."""
        for setting in sort_settings(first, self._helpers, statement.column):
            self._connection.execute(f"SET LOCAL {setting}")

    def end(self) -> None:
        """Leave the table as it was."""
        if self._helpers is not None:
            self._say_of_table("RESET (parallel_workers)")

    def _say_of_table(self, what: str) -> None:
        self._connection.execute(f"ALTER TABLE {self._table} {what}")


def helpers_for(connection: Connection, table: str, rows: int) -> int | None:
    """How many processes help PostgreSQL to make an index of so many rows, if we say how.

    A process gets little memory only where the number of processes is said of the table.
    """
    if rows not in _FOR_PROCESSES:
        return None
    found = connection.scalar(_POSTGRESQL_HELPERS.format(identifier=_literal(quoted(table))))
    return None if found is None else int(found)


def sort_settings(first: str, helpers: int | None, column: str) -> tuple[str, ...]:
    """In how much memory PostgreSQL sorts for an index, and by how many processes.

    Where rows lie in the order of an index, one process finds that out at once; several get rows
    that are mixed, and take twice as much processor time. For any other several are sooner done,
    as many as the server would take.

    Args:
        first: The column that the rows are sorted by first.
        helpers: See `helpers_for`; None leaves it to the server.
        column: The first column of the index; empty for what is none.
    """
    if column == first != "":
        helpers = 0
    if helpers is None or not column:
        return ("maintenance_work_mem TO DEFAULT", "max_parallel_maintenance_workers TO DEFAULT")
    return (
        f"maintenance_work_mem TO '{_SORT_MEGABYTES * (helpers + 1)}MB'",
        f"max_parallel_maintenance_workers TO {helpers}",
    )


def _statements(connection: Connection, table: str) -> list[_Statement]:
    """In the order of taking away."""
    identifier = _literal(quoted(table))
    if connection.dialect.name == "mysql":
        return []  # there every change of a table ends the transaction
    if connection.dialect.name == "sqlite":
        found = connection.rows(_SQLITE_INDEXES.format(name=_literal(table)))
    elif connection.scalar(
        _POSTGRESQL_ALLOWED.format(identifier=identifier, kept_index=KEPT_INDEX)
    ):
        found = connection.rows(_POSTGRESQL_CONSTRAINTS.format(identifier=identifier))
        found += connection.rows(_POSTGRESQL_INDEXES.format(identifier=identifier))
    else:
        found = []
    return [_Statement(*map(str, row)) for row in found]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# A target in use may be further: experiments that were purged had greater ids.
_POSTGRESQL_SEQUENCE = """
SELECT setval(sequence, newest) FROM (
    SELECT pg_get_serial_sequence('experiments', 'experiment_id')::regclass AS sequence,
           (SELECT MAX(experiment_id) FROM experiments) AS newest
) AS known
WHERE newest > COALESCE((
    SELECT last_value FROM pg_sequences
    WHERE format('%I.%I', schemaname, sequencename)::regclass = sequence
), 0)
"""


def set_sequences(connection: Connection) -> None:
    """Make the next experiment get a free id.

    Rows that bring their own ids do not move PostgreSQL's sequence: the next `create_experiment`
    would fail with a duplicate key. SQLite and MySQL take the greatest id plus one themselves.
    """
    if connection.dialect.name == "postgresql":
        connection.rows(_POSTGRESQL_SEQUENCE)
