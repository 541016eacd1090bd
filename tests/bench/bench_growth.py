"""What a million points take, in registries of several sizes: cost grows as they do, and no faster.

    pytest -m bench -n 0 -s tests/bench/bench_growth.py

MLPORTER_BENCH_GROWTH_RUNS says how many runs of 500 points they have: "1000,10000,40000" unless
told.
"""

from __future__ import annotations

import os
import time

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

SIZES = [*map(int, os.environ.get("MLPORTER_BENCH_GROWTH_RUNS", "1000,10000,40000").split(","))]
MOST = 1.1


def test_what_a_million_points_take(mlflow_sqlite_template, tmp_path):
    first: dict[str, float] = {}
    for runs in SIZES:
        folder = tmp_path / str(runs)
        for what, seconds in seconds_per_million(folder, runs, mlflow_sqlite_template):
            name = f"{what} of a million points, {runs:,} / {SIZES[0]:,} runs"
            ratios.add(name, seconds, first.setdefault(what, seconds), MOST)


def seconds_per_million(folder, runs, template):
    """Each verb, once, and its seconds for a million of the points that there are."""
    source, target = folder / "source.db", folder / "target.db"
    for path in (source, target):
        copy_sqlite(template, path)
    millions = fill(sqlite_url(source), runs).points / 1_000_000
    bundle = str(folder / "bundle")
    for what, work in {
        "export": lambda: mlporter.export(sqlite_url(source), bundle),
        "verify": lambda: mlporter.verify(bundle),
        "import": lambda: mlporter.import_(bundle, sqlite_url(target), artifacts="none"),
        "diff": lambda: mlporter.diff(sqlite_url(source), sqlite_url(target)),
    }.items():
        start = time.perf_counter()
        work()
        yield what, (time.perf_counter() - start) / millions
    for path in (source, target):
        path.unlink()
