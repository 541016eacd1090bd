"""What MLflow computes from kept tables, computed again where they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.stores.database.connection import Connection

__all__ = ["rebuild", "set_sequences"]

# MLflow keeps, for each run and key, the metric that is greatest by (step, timestamp, value); a NaN
# is stored as value 0 (mlflow.store.tracking.sqlalchemy_store, _update_latest_metrics).
_LATEST_METRICS = """
INSERT INTO latest_metrics ("key", value, timestamp, step, is_nan, run_uuid)
SELECT "key", value, timestamp, step, is_nan, run_uuid FROM (
    SELECT "key", value, timestamp, step, is_nan, run_uuid, ROW_NUMBER() OVER (
        PARTITION BY run_uuid, "key" ORDER BY step DESC, timestamp DESC, value DESC, is_nan DESC
    ) AS place
    FROM metrics {where}
) AS ranked
WHERE place = 1
"""


_NEW_RUNS = "WHERE run_uuid NOT IN (SELECT run_uuid FROM latest_metrics)"

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


def rebuild(connection: Connection, tables: frozenset[str], wheres: Iterable[str] = (" ",)) -> None:
    """Fill the derived tables from the kept ones, within the transaction at hand.

    Args:
        connection: The database.
        tables: The tables that it has.
        wheres: SQL conditions that choose the runs to do it for, some at a time; "" chooses those
            that have nothing derived yet.
    """
    if "latest_metrics" in tables:
        for where in wheres:
            connection.execute(_LATEST_METRICS.format(where=where or _NEW_RUNS))


def set_sequences(connection: Connection) -> None:
    """Make the next experiment get a free id.

    Rows that bring their own ids do not move PostgreSQL's sequence: the next `create_experiment`
    would fail with a duplicate key. SQLite and MySQL take the greatest id plus one themselves.
    """
    if connection.dialect.name == "postgresql":
        connection.rows(_POSTGRESQL_SEQUENCE)
