"""Experiment ids that are taken, or too large: they change, and everything follows."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

import mlporter
from tests.plan.references import dangling
from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url
from tests.support.rich_registry import add_what_only_sqlite_holds

NUMBER = 123456789012345678


@pytest.mark.parametrize("engine", ["mlflow_postgres_url", "mlflow_mysql_url"])
def test_18_digits_get_an_id_that_strict_databases_hold(engine, rich_sqlite, tmp_path, request):
    """`mlflow migrate-filestore` keeps the ids of file stores; those of a database are int4."""
    target = request.getfixturevalue(engine)
    source = rich_sqlite.tracking_uri
    add_what_only_sqlite_holds(rich_sqlite.database_path)
    execute(
        source,
        f"UPDATE experiments SET name = 'migrated' WHERE experiment_id = {NUMBER}",
        "DELETE FROM experiment_tags WHERE value LIKE '%' || char(0) || '%'",
    )
    result = mlporter.copy(
        source,
        target,
        artifact_root=str(tmp_path / "root"),
        selection=mlporter.Selection(experiments=("migrated",)),
    )
    (new,) = [r.new for r in result.renamed if (r.kind, r.old) == ("experiment id", str(NUMBER))]
    assert int(new) < 2**31
    client = MlflowClient(target, target)
    assert client.get_experiment(new).name == "migrated"
    assert client.create_experiment("the next one") not in {new, "0"}


def test_taken_ids_are_remapped_everywhere(rich_sqlite, mlflow_sqlite):
    target = sqlite_url(mlflow_sqlite)
    client = MlflowClient(target, target)
    mine = [client.create_experiment(f"of the target {number}") for number in range(6)]
    runs = [client.create_run(experiment).info.run_id for experiment in mine]
    result = mlporter.copy(rich_sqlite.tracking_uri, target, artifacts="none")
    remapped = {r.old: r.new for r in result.renamed if r.kind == "experiment id"}
    assert remapped
    assert set(remapped.values()).isdisjoint(mine)
    assert [client.get_run(run).info.experiment_id for run in runs] == mine
    names = dict(rows(rich_sqlite.tracking_uri, "SELECT experiment_id, name FROM experiments"))
    there = dict(rows(target, "SELECT experiment_id, name FROM experiments"))
    for old, new in remapped.items():
        assert there[int(new)] == names[int(old)]
    assert set(dangling(target)) == set(dangling(rich_sqlite.tracking_uri))
    # Comparing sees through the ids: only what the target had before is not in the source.
    report = mlporter.diff(rich_sqlite.tracking_uri, target, artifacts="none")
    assert any("Ids of experiments" in sentence for sentence in report.ignored)
    different = [d for d in report.differences if d.sigil != "!"]
    assert {d.sigil for d in different} == {"-"}
    assert {d.table for d in different} <= {"experiments", "experiment_tags", "runs", "tags"}
