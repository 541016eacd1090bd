"""Rows that refer to nothing, as SQLite checks no reference: somebody deleted runs by SQL."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.bundle.folder.layout import MANIFEST
from mlporter.errors import ExitCode
from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url

RUN = "SELECT min(run_uuid) FROM runs WHERE run_uuid IN (SELECT run_uuid FROM params)"


@pytest.fixture
def registry(rich_sqlite):
    """The rich registry, with a run gone of which parameters, metrics and tags are left."""
    url = rich_sqlite.tracking_uri
    ((run,),) = rows(url, RUN)
    execute(url, f"DELETE FROM runs WHERE run_uuid = '{run}'")
    return url, run


def dangling(result):
    return {(i.id, i.path) for i in result.left_out.first if i.reason == "dangling"}


def of_run(url, table, run):
    return rows(url, f"SELECT count(*) FROM {table} WHERE run_uuid = '{run}'")[0][0]


def test_they_are_named_by_the_export_and_the_bundle_is_whole(registry, tmp_path, cli):
    url, run = registry
    bundle = tmp_path / "bundle"
    exported = cli("export", url, bundle, "--json")
    assert exported.code == ExitCode.INCOMPLETE
    named = {
        (item["kind"], item["id"], item["path"])
        for item in exported.json["left_out"]["first"]
        if item["reason"] == "dangling"
    }
    assert ("reference", "params", f"runs.run_uuid={run}") in named
    assert "dangling" in (bundle / MANIFEST).read_text(encoding="utf-8")
    verified = cli("verify", bundle)
    assert verified.code == 0
    assert run in verified.out
    found = cli("verify", bundle, "--json").json["check"]
    assert found["ok"]
    assert found["told"]["total"] == len(found["told"]["first"]) == len(named)
    with mlporter.open(bundle) as read:
        carried = [row["run_uuid"] for row in read.read("params").read_all().to_pylist()]
    assert carried.count(run) == of_run(url, "params", run)


def test_one_that_the_export_did_not_name_is_damage(registry, tmp_path, monkeypatch):
    """Only what is named is no damage: rows may have been lost on the way, too."""
    url, run = registry
    monkeypatch.setattr("mlporter.execute.findings.remarks.Remarks.entries", lambda _: iter(()))
    mlporter.export(url, tmp_path / "bundle")
    checked = mlporter.verify(tmp_path / "bundle")
    assert checked.exit_code == ExitCode.BUNDLE
    assert any(run in problem.detail for problem in checked.check.problems)


def test_sqlite_takes_them_as_they_are(registry, tmp_path):
    url, run = registry
    bundle = tmp_path / "bundle"
    exported = mlporter.export(url, bundle, artifacts="none")
    copied = mlporter.copy(url, f"sqlite:///{tmp_path}/copy.db", artifacts="none")
    assert dangling(copied) == dangling(exported)
    assert copied.exit_code == ExitCode.INCOMPLETE
    new = f"sqlite:///{tmp_path}/new.db"
    imported = mlporter.import_(bundle, new, artifacts="none")
    assert dangling(imported) == set()
    assert of_run(new, "params", run) == of_run(url, "params", run) > 0


@pytest.mark.parametrize("target_url", ["postgresql", "mysql"], indirect=True)
def test_a_target_that_enforces_references_gets_what_it_can(registry, target_url, tmp_path):
    url, run = registry
    bundle, options = tmp_path / "bundle", {"artifacts": "none"}
    if target_url.startswith("mysql"):  # which has no infinity, and so much for the rich registry
        execute(url, "UPDATE metrics SET value = 1 WHERE abs(value) > 1e300")
        execute(
            url, "UPDATE logged_model_metrics SET metric_value = 1 WHERE abs(metric_value) > 1e300"
        )
    mlporter.export(url, bundle, **options)
    planned = mlporter.import_(bundle, target_url, dry_run=True, **options)
    imported = mlporter.import_(bundle, target_url, **options)
    assert imported.exit_code == planned.exit_code == ExitCode.INCOMPLETE
    assert dangling(imported) == dangling(planned)
    assert ("params", f"runs.run_uuid={run}") in dangling(imported)
    assert planned.rows == imported.rows
    assert rows(target_url, "SELECT count(*) FROM runs") == rows(url, "SELECT count(*) FROM runs")
    assert of_run(target_url, "params", run) == 0
    again = mlporter.copy(url, target_url, **options)
    assert again.rows == 0
    assert dangling(again) >= dangling(imported)
    assert again.exit_code == ExitCode.INCOMPLETE


@pytest.mark.parametrize("target_url", ["postgresql"], indirect=True)
def test_what_hangs_on_such_a_row_stays_behind_with_it(rich_sqlite, target_url):
    url = rich_sqlite.tracking_uri
    ((experiment,),) = rows(url, "SELECT min(experiment_id) FROM runs WHERE experiment_id > 0")
    execute(url, f"DELETE FROM experiments WHERE experiment_id = {experiment}")
    gone = f"(SELECT run_uuid FROM runs WHERE experiment_id = {experiment})"
    result = mlporter.copy(url, target_url, artifacts="none")
    assert result.exit_code == ExitCode.INCOMPLETE
    left = {item.id: item.detail for item in result.left_out.first if item.kind == "table"}
    ((params,),) = rows(url, f"SELECT count(*) FROM params WHERE run_uuid IN {gone}")
    assert str(params) in left["params"]
    ((kept,),) = rows(url, f"SELECT count(*) FROM params WHERE run_uuid NOT IN {gone}")
    assert rows(target_url, "SELECT count(*) FROM params") == [(kept,)]
    runs = rows(url, f"SELECT count(*) FROM runs WHERE run_uuid NOT IN {gone}")
    assert rows(target_url, "SELECT count(*) FROM runs") == runs


def test_a_target_in_use_gets_none_of_nobodys_rows(registry, mlflow_sqlite, tmp_path):
    url, run = registry
    target = sqlite_url(mlflow_sqlite)
    columns = "experiment_id, name, workspace"
    execute(target, f"INSERT INTO experiments ({columns}) VALUES (7, 'e', 'default')")
    for _ in range(2):
        copied = mlporter.copy(url, target, artifact_root=tmp_path / "files")
        assert ("params", f"runs.run_uuid={run}") in dangling(copied)
    assert copied.rows == 0
    assert of_run(target, "params", run) == 0
