"""How many points runs have: counted where they are, by run, on every engine."""

from contextlib import closing

import pytest

import mlporter
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import points_by_run
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_points_are_counted_by_run(target_url, mlflow_sqlite_template, tmp_path):
    copy_sqlite(mlflow_sqlite_template, tmp_path / "filled.db")
    filled = sqlite_url(tmp_path / "filled.db")
    fill_metrics(filled, runs=3, keys=2, steps=4)
    mlporter.copy(filled, target_url, artifacts="none")
    with closing(open_source(target_url)) as source:
        counted = points_by_run(source)
        assert counted is not None
        found = [row for batch in counted for row in batch.to_pylist()]
        runs = [run for batch in source.read("runs", ("run_uuid",)) for run in batch[0].to_pylist()]
    assert found == [{"run_uuid": run, "points": 8} for run in runs]
