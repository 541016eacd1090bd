"""How long moving a registry takes, against the driver reading the same metrics and no more.

    pytest -m bench -n 0 -s tests/bench/bench_transfer.py

Machines and their load differ, so what counts are ratios within one run; the rates are of the
machine at hand. Nothing here decides a test by time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.engines import Postgres

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

RUNS, KEYS, STEPS = 1_000, 20, 100
ROWS = RUNS * KEYS * STEPS


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def tell(name: str, took: float, reference: float | None = None) -> None:
    ratio = "" if reference is None else f"  {took / reference:5.1f} x the reading"
    print(f"{name:<34} {took:7.2f} s  {ROWS / took / 1e6:5.2f} M rows/s{ratio}")


def read_by_driver(address: str) -> None:
    """The sorted metrics table through the driver alone: nothing that moves rows is faster."""
    with mlporter.open(address) as registry:
        for _ in registry.read("metrics"):
            pass


def measure(source: str, target: str, tmp_path: Path) -> None:
    bundle, root = str(tmp_path / "bundle"), str(tmp_path / "root")
    reference = seconds(lambda: read_by_driver(source))
    tell("reading the sorted metrics", reference)
    tell("export", seconds(lambda: mlporter.export(source, bundle)), reference)
    tell("verify", seconds(lambda: mlporter.verify(bundle)), reference)
    imported = seconds(lambda: mlporter.import_(bundle, target, artifact_root=root))
    tell("import, with reading back", imported, reference)
    tell("diff", seconds(lambda: mlporter.diff(source, target)), reference)


def test_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    source = postgres.new_mlflow_database()
    fill_metrics(source, runs=RUNS, keys=KEYS, steps=STEPS)
    print(f"\nPostgreSQL, {ROWS:,} metric points")
    target = postgres.new_mlflow_database()
    measure(postgres.plain(source), postgres.plain(target), tmp_path)


def test_sqlite(mlflow_sqlite: Path, tmp_path: Path) -> None:
    source = sqlite_url(mlflow_sqlite)
    fill_metrics(source, runs=RUNS, keys=KEYS, steps=STEPS)
    print(f"\nSQLite, {ROWS:,} metric points")
    measure(source, f"sqlite:///{tmp_path}/new.db", tmp_path)
