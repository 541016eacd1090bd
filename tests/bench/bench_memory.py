"""Peak memory of each verb, for a registry and for one of forty times its size.

    pytest -m bench -n 0 -s tests/bench/bench_memory.py

MLPORTER_BENCH_MEMORY_RUNS says how many runs of 500 points both have: "1000,40000" unless told.
And peak memory and time of a copy, and of a sync that finds nothing changed, where there are very
many runs with little each: MLPORTER_BENCH_MANY_RUNS says how many, "50000,1000000" unless told.
tests/verbs/test_memory.py holds memory bounded with less, at every run of the tests.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.bench import ratios
from tests.bench.workload import LITTLE, fill
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SIZES = tuple(map(int, os.environ.get("MLPORTER_BENCH_MEMORY_RUNS", "1000,40000").split(",")))
MANY = tuple(map(int, os.environ.get("MLPORTER_BENCH_MANY_RUNS", "50000,1000000").split(",")))
MOST = 500


def test_peak_memory(mlflow_sqlite_template, postgres, tmp_path):
    small, large = (
        peaks(runs, mlflow_sqlite_template, postgres, tmp_path / str(runs)) for runs in SIZES
    )
    for verb, megabytes in large.items():
        runs = f"{SIZES[1]:,} / {SIZES[0]:,} runs"
        ratios.add(f"memory: {verb}, {runs}", megabytes, small[verb], 1.2, "MB")
        ratios.add(f"memory: {verb}, {SIZES[1]:,} runs / 500 MB", megabytes, MOST, 1.0, "MB")


def test_very_many_runs(mlflow_sqlite_template, tmp_path):
    small, large = (
        copied_and_synced(runs, mlflow_sqlite_template, tmp_path / str(runs)) for runs in MANY
    )
    for verb, (megabytes, seconds) in large.items():
        line = f"{verb}, {MANY[1]:,} / {MANY[0]:,} runs with little each"
        ratios.add(f"memory: {line}", megabytes, small[verb][0], 1.2, "MB")
        ratios.add(line, seconds, small[verb][1], MANY[1] / MANY[0])


def copied_and_synced(runs, template, folder):
    """Megabytes and seconds of each verb."""
    source, target = folder / "source.db", folder / "target.db"
    copy_sqlite(template, source)
    fill(sqlite_url(source), runs, LITTLE)
    found = {}
    for verb in ("copy", "sync"):
        start = time.perf_counter()
        most = peak_memory(verb, sqlite_url(source), sqlite_url(target), artifacts="none")
        found[verb] = most, time.perf_counter() - start
    return found


def peaks(runs, template, postgres, folder):
    """The most that each verb takes, in MB."""
    source, target = folder / "source.db", folder / "target.db"
    for path in (source, target):
        copy_sqlite(template, path)
    fill(sqlite_url(source), runs)
    bundle, other = str(folder / "bundle"), str(folder / "other")
    server, second = (postgres.plain(postgres.new_mlflow_database()) for _ in range(2))
    without = {"artifacts": "none"}
    found = {
        "export from SQLite": peak_memory("export", sqlite_url(source), bundle),
        "verify": peak_memory("verify", bundle),
        "import into SQLite": peak_memory("import", bundle, sqlite_url(target), **without),
        "import into PostgreSQL": peak_memory("import", bundle, server, **without),
        "export from PostgreSQL": peak_memory("export", server, other),
        "copy from SQLite to PostgreSQL": peak_memory(
            "copy", sqlite_url(source), second, **without
        ),
        "diff of SQLite and PostgreSQL": peak_memory("diff", sqlite_url(source), server),
    }
    for url in (server, second):
        postgres.drop(url)
    return found
