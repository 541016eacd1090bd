"""Loading a large table into an empty database as `pg_restore` does: indexes and constraints last.

Keeping three indexes and a foreign key up to date row by row is most of the time that a load of
metrics takes. All of it happens within the one transaction: either the table is back to what it
was declared as, or nothing has happened. MySQL cannot do that, and is loaded as usual.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import isqrt
from typing import TYPE_CHECKING

from mlporter.stores.database.connection.connection import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.database.connection.connection import Connection

__all__ = ["WORTHWHILE_ROWS", "bulk_load", "set_sequences"]

WORTHWHILE_ROWS = 10_000
"""Below this many rows nothing is gained."""

_INDEX_ROW_BYTES = 100
_RUN_BUFFER_BYTES = 264 << 10
"""What PostgreSQL needs of memory for each sorted run that it merges."""
_LEAST_SORT_MIB = 8

_SQLITE_INDEXES = """
SELECT printf('DROP INDEX "%w"', name), sql FROM sqlite_master
WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = {name} ORDER BY name
"""

# Constraints of the table itself: its primary key goes last and comes back first. A table that
# others refer to keeps its key, and only the table's owner may do any of this.
_POSTGRESQL_ALLOWED = """
SELECT pg_has_role(relowner, 'USAGE') AND NOT EXISTS (
    SELECT 1 FROM pg_constraint WHERE confrelid = c.oid
) FROM pg_class c WHERE c.oid = {identifier}::regclass
"""

_POSTGRESQL_CONSTRAINTS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
              pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = {identifier}::regclass AND contype IN ('p', 'u', 'f')
ORDER BY contype
"""

_POSTGRESQL_INDEXES = """
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM pg_index i WHERE i.indrelid = {identifier}::regclass
AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
ORDER BY i.indexrelid::regclass::text
"""


@contextmanager
def bulk_load(connection: Connection, table: str, rows: int) -> Iterator[None]:
    """Take a table's indexes and constraints away, and put them back when it is filled.

    Args:
        connection: In its transaction; an error within leaves it to be rolled back.
        table: An empty table.
        rows: How many rows will come; few are loaded as usual.
    """
    statements = _statements(connection, table) if rows >= WORTHWHILE_ROWS else []
    for drop, _ in statements:
        connection.execute(drop)
    yield
    if statements and connection.dialect.name == "postgresql":
        _sort_in_cache(connection, rows)
    for _, create in reversed(statements):
        connection.execute(create)


def _sort_in_cache(connection: Connection, rows: int) -> None:
    """Let indexes be sorted in a few megabytes, and by one process.

    Whatever the memory, a row is compared some twenty times: it is quicker where the processor's
    caches hold what is sorted. There is more of it only for more rows, so that all is merged in
    one go. And two of three indexes of metrics are in the order in which the rows lie, which one
    process finds out at once; several get rows that are mixed.
    """
    mib = max(_LEAST_SORT_MIB, isqrt(rows * _INDEX_ROW_BYTES * _RUN_BUFFER_BYTES) >> 20)
    own = "pg_size_bytes(current_setting('maintenance_work_mem'))"
    less = f"set_config('maintenance_work_mem', least({own}, {mib << 20}) / 1024 || 'kB', true)"
    connection.rows(f"SELECT {less}")
    connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")


def _statements(connection: Connection, table: str) -> list[tuple[str, str]]:
    """Pairs of what takes something away and what puts it back, in the order of taking."""
    identifier = _literal(quoted(table))
    if connection.dialect.name == "mysql":
        return []  # there every change of a table ends the transaction
    if connection.dialect.name == "sqlite":
        found = connection.rows(_SQLITE_INDEXES.format(name=_literal(table)))
    elif connection.scalar(_POSTGRESQL_ALLOWED.format(identifier=identifier)):
        found = connection.rows(_POSTGRESQL_CONSTRAINTS.format(identifier=identifier))
        found += connection.rows(_POSTGRESQL_INDEXES.format(identifier=identifier))
    else:
        found = []
    return [(str(drop), str(create)) for drop, create in found]


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
