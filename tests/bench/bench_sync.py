"""What it takes to stay in step, against the first copy.

    pytest -m bench -n 0 -s tests/bench/bench_sync.py

MLPORTER_BENCH_RUNS says how many runs of 500 points the databases have: 10,000 unless told.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.bench_server import RUNS as SERVER_RUNS
from tests.bench.bench_server import WORKERS
from tests.bench.bench_server_import import wake
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_RUNS", "10000"))
CHANGED = 100


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def change(path, count):
    """Let so many runs go on: a tag, a point and an end that they did not have."""
    with closing(sqlite3.connect(path)) as database, database:
        found = database.execute("SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT ?", (count,))
        for (run,) in found.fetchall():
            database.execute("INSERT INTO tags VALUES ('later', 'yes', ?)", (run,))
            database.execute("UPDATE runs SET end_time = end_time + 1 WHERE run_uuid = ?", (run,))
            database.execute(
                "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
                "VALUES ('metric_0', 0.5, 1700000000000, ?, 99, 0)",
                (run,),
            )
            database.execute(
                "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan, "
                "run_uuid) VALUES ('metric_0', 0.5, 1700000000000, 99, 0, ?)",
                (run,),
            )


def test_databases(mlflow_sqlite_template, tmp_path):
    source, target = tmp_path / "source.db", tmp_path / "target.db"
    copy_sqlite(mlflow_sqlite_template, source)
    fill(sqlite_url(source), RUNS)

    def sync():
        return mlporter.sync(
            sqlite_url(source), sqlite_url(target), artifacts="none", state=tmp_path / "state"
        )

    first, result = seconds(sync)
    assert result.exit_code == 0
    nothing, result = seconds(sync)
    assert result.rows == 0
    change(source, CHANGED)
    some, result = seconds(sync)
    assert result.actions.total("update") >= CHANGED
    ratios.add(f"SQLite, {RUNS} runs: sync of nothing / first copy", nothing, first, 0.1)
    ratios.add(f"SQLite: sync of {CHANGED} changed runs / first copy", some, first, 0.15)


def test_servers(mlflow_sqlite_template, tmp_path):
    for name in ("source", "target"):
        copy_sqlite(mlflow_sqlite_template, tmp_path / f"{name}.db")
    fill(sqlite_url(tmp_path / "source.db"), SERVER_RUNS)
    with (
        mlflow_server(sqlite_url(tmp_path / "source.db"), tmp_path / "one") as source,
        mlflow_server(sqlite_url(tmp_path / "target.db"), tmp_path / "two") as target,
    ):
        wake(target)

        def sync():
            return mlporter.sync(source, target, workers=WORKERS, state=tmp_path / "state")

        first, result = seconds(sync)
        assert result.exit_code == 0
        nothing, result = seconds(sync)
        assert result.rows == 0
    name = f"server to server, {SERVER_RUNS} runs: sync of nothing / first copy"
    ratios.add(name, nothing, first, 0.03)
