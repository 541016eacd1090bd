"""What MLflow computes from kept tables, computed again in a freshly filled database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlporter.stores.database.connection import Connection

__all__ = ["rebuild", "set_sequences"]

# MLflow keeps, for each run and key, the metric that is greatest by (step, timestamp, value); a NaN
# is stored as value 0 (mlflow.store.tracking.sqlalchemy_store, _update_latest_metrics).
_LATEST_METRICS = """
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, value, timestamp, step, is_nan, run_uuid FROM (
    SELECT key, value, timestamp, step, is_nan, run_uuid, ROW_NUMBER() OVER (
        PARTITION BY run_uuid, key ORDER BY step DESC, timestamp DESC, value DESC, is_nan DESC
    ) AS place
    FROM metrics
) AS ranked
WHERE place = 1
"""


def rebuild(connection: Connection, tables: frozenset[str]) -> None:
    """Fill the derived tables from the kept ones, within the transaction at hand."""
    if "latest_metrics" in tables:
        connection.execute(_LATEST_METRICS)


def set_sequences(connection: Connection) -> None:
    """Make the next experiment get a free id.

    Rows that bring their own ids do not move PostgreSQL's sequence: the next `create_experiment`
    would fail with a duplicate key. SQLite takes the greatest id plus one by itself.
    """
    if connection.dialect.name == "postgresql":
        connection.rows(
            "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), "
            "GREATEST((SELECT COALESCE(MAX(experiment_id), 0) FROM experiments), 1), "
            "EXISTS (SELECT 1 FROM experiments WHERE experiment_id > 0))"
        )
