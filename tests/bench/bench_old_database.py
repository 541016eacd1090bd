"""A database of MLflow 2.9, against one of today with the same rows.

    pytest -m bench -n 0 -s tests/bench/bench_old_database.py

MLPORTER_BENCH_RUNS says how many runs of 500 points there are: 10,000 unless told.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.old_schemas import make_schema

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_RUNS", "10000"))
MLFLOW_2_9 = "acf3f17fdcc7"


@pytest.fixture(scope="module")
def databases(mlflow_sqlite_template, tmp_path_factory):
    """The workload in a database of today, and its rows in one of MLflow 2.9."""
    folder = tmp_path_factory.mktemp("databases")
    new, old = folder / "new.db", folder / "old.db"
    copy_sqlite(mlflow_sqlite_template, new)
    fill(sqlite_url(new), RUNS)
    make_schema(sqlite_url(old), MLFLOW_2_9)
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("ATTACH ? AS new", (str(new),))
        for table, columns in _tables(connection).items():
            names = ", ".join(f'"{name}"' for name in columns)
            connection.execute(
                f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}"
            )
        connection.commit()
    return old, new


def _tables(connection):
    """The old schema's tables and columns, parents first."""
    found = connection.execute(
        "SELECT t.name, c.name FROM main.sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND t.name <> 'alembic_version' ORDER BY t.rootpage"
    )
    tables: dict[str, list[str]] = {}
    for table, column in found:
        tables.setdefault(table, []).append(column)
    return tables


def test_an_old_database_is_read_as_fast_as_a_new_one(databases, tmp_path):
    old, new = databases
    bundle = tmp_path / "bundle"
    ours, reference = ratios.side_by_side(
        lambda: mlporter.export(sqlite_url(old), str(bundle), artifacts="none"),
        lambda: mlporter.export(sqlite_url(new), str(bundle), artifacts="none"),
        before=lambda: shutil.rmtree(bundle, ignore_errors=True),
    )
    measure = f"SQLite of MLflow 2.9, {RUNS * 500:,} points: export / of one at the newest revision"
    ratios.add(measure, ours, reference, 1.1)
