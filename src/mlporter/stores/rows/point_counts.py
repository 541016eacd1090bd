"""How many metric points each run has, as rows: counted where they are, so that none is read."""

from __future__ import annotations

import pyarrow as pa

from mlporter.catalogue.types import Column, Table

__all__ = ["ANY_POINTS", "POINTS", "counted"]

POINTS = Table(
    "points_by_run",
    ("run_uuid",),
    (
        Column("run_uuid", pa.string(), nullable=False),
        Column("points", pa.int64(), nullable=False),
    ),
)
"""Runs that have any points, by id, and how many."""

ANY_POINTS = 'WHERE "points" > 0'


def counted(metrics: str) -> str:
    """What stands for that table in a statement, of what stands for `metrics`."""
    columns = '"run_uuid", count(*) AS "points"'
    select = f'SELECT {columns} FROM {metrics} GROUP BY "run_uuid"'  # noqa: S608 -- a name of ours
    return f'({select}) AS "points_by_run"'
