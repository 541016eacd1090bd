"""Backups: the first against an export, the next ones against the first; forgetting and pruning.

    pytest -m bench -n 0 -s tests/bench/bench_backup.py

MLPORTER_BENCH_BACKUP_RUNS says how many runs of 500 points the database has: 10,000 unless told;
MLPORTER_BENCH_BACKUP_SERVER how many the server has: 500; MLPORTER_BENCH_BACKUP_SNAPSHOTS how many
snapshots are forgotten: 100.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest
from sqlalchemy import create_engine, text

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.repository.registry import SmallRegistry
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_BACKUP_RUNS", "10000"))
SERVED = int(os.environ.get("MLPORTER_BENCH_BACKUP_SERVER", "500"))
SNAPSHOTS = int(os.environ.get("MLPORTER_BENCH_BACKUP_SNAPSHOTS", "100"))
FORGET_SECONDS, FORGET_MEGABYTES = 10, 300


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_backups_of_a_database(mlflow_sqlite_template, tmp_path):
    source = tmp_path / "source.db"
    copy_sqlite(mlflow_sqlite_template, source)
    fill(sqlite_url(source), RUNS)
    exports, firsts = [], []
    for number in range(2):
        bundle, repository = tmp_path / f"bundle-{number}", tmp_path / f"repository-{number}"
        exports.append(seconds(lambda to=bundle: mlporter.export(sqlite_url(source), to)))
        firsts.append(seconds(lambda to=repository: mlporter.backup(sqlite_url(source), to)))
        shutil.rmtree(bundle)
    kept = tmp_path / "repository-1"
    ratios.add(f"first backup / export, {RUNS:,} runs", min(firsts), min(exports), 1.05)
    again = min(seconds(lambda: mlporter.backup(sqlite_url(source), kept)) for _ in range(2))
    ratios.add("backup, nothing changed / the first", again, min(firsts), 0.15)
    add_runs(source, 100)
    more = seconds(lambda: mlporter.backup(sqlite_url(source), kept))
    ratios.add("backup, 100 runs added / the first", more, min(firsts), 0.2)
    first, *_, last = mlporter.snapshots(kept).snapshots
    ratios.add("bytes of 100 runs / the first's", last.added.bytes, first.added.bytes, 0.03, "B")


def test_backups_of_a_server(mlflow_sqlite_template, tmp_path):
    source, kept = tmp_path / "source.db", tmp_path / "repository"
    copy_sqlite(mlflow_sqlite_template, source)
    fill(sqlite_url(source), SERVED)
    with mlflow_server(sqlite_url(source), tmp_path / "files") as address:
        first, again = (seconds(lambda: mlporter.backup(address, kept)) for _ in range(2))
    name = f"backup of a server, nothing changed / the first, {SERVED:,} runs"
    ratios.add(name, again, first, 0.05)


def test_forgetting(mlflow_sqlite_template, tmp_path):
    registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    kept = tmp_path / "repository"
    for number in range(SNAPSHOTS + 1):
        files = {f"{name}.txt": f"{number} {name}".encode() for name in range(50)}
        registry.add_run(f"{number:032x}", 5, files)
        mlporter.backup(registry.url, kept)
    copy = shutil.copytree(kept, tmp_path / "copy")
    took = seconds(lambda: mlporter.forget(copy, keep_last=1, prune_unused=True, grace=0.001))
    assert len(mlporter.snapshots(copy).snapshots) == 1
    assert mlporter.verify(copy).check.problems == []
    name = f"forget and prune of {SNAPSHOTS:,} snapshots / {FORGET_SECONDS} s"
    ratios.add(name, took, FORGET_SECONDS, 1.0)
    most = peak_memory("forget", str(kept), "--keep-last", "1", "--prune", "--grace", "0.001s")
    ratios.add(f"memory of that / {FORGET_MEGABYTES} MB", most, FORGET_MEGABYTES, 1.0, "MB")


def add_runs(database, number):
    """Runs like those of the workload, with other ids."""
    engine = create_engine(sqlite_url(database))
    with engine.begin() as connection:
        ids = "SELECT run_uuid FROM runs ORDER BY run_uuid LIMIT :number"
        names = {
            table: [row[1] for row in connection.execute(text(f"PRAGMA table_info({table})"))]
            for table in ("runs", "params", "tags", "metrics", "latest_metrics")
        }
        for table, columns in names.items():
            new = ", ".join(
                "'f' || substr(run_uuid, 2)" if column == "run_uuid" else f'"{column}"'
                for column in columns
            )
            listed = ", ".join(f'"{column}"' for column in columns)
            connection.execute(
                text(
                    f"INSERT INTO {table} ({listed}) SELECT {new} FROM {table}"
                    f" WHERE run_uuid IN ({ids})"
                ),
                {"number": number},
            )
    engine.dispose()
