"""Ids that a database counts up, after rows that brought their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlporter.stores.database.connection.connection import Connection

__all__ = ["set_sequences"]

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
