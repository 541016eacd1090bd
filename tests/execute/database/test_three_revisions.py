"""A source that is older than the installed MLflow, as an old bundle is: MLflow upgrades it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.errors import ExitCode, RevisionError
from mlporter.stores.database.schema.scripts import installed_head
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.old_schemas import fill, make_schema, upgrade

OLD = "b7e2c1a4d9f3"
"""MLflow 3.16; the next revision moves values of traces out of tags."""
_AT = "SELECT version_num FROM alembic_version"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A filled database of MLflow 3.16. Do not touch."""
    url = sqlite_url(tmp_path_factory.mktemp("old") / "mlflow.db")
    make_schema(url, OLD)
    fill(url)
    # What MLflow's own upgrade does not bring over whole.
    execute(
        url,
        "DELETE FROM trace_tags",
        "DELETE FROM trace_request_metadata",
        "DELETE FROM trace_metrics",
        "DELETE FROM span_metrics",
        "UPDATE spans SET dimension_attributes = NULL",
        "INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'mlflow.traceName', 'a')",
    )
    return url


@pytest.fixture(scope="module")
def old_bundle(old, tmp_path_factory):
    """A bundle of it, as the mlporter of that time wrote it: at that revision. Do not touch."""
    bundle = tmp_path_factory.mktemp("bundles") / "old"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlporter.stores.database.reader.is_as_it_is", lambda _: True)
        mlporter.export(old, str(bundle), artifacts="none", include_secrets=True)
    assert load_manifest(bundle).schema_revision == OLD
    return bundle


@pytest.fixture(scope="module")
def upgraded(old, tmp_path_factory):
    """What MLflow makes of the database itself: the judge. Do not touch."""
    path = tmp_path_factory.mktemp("upgraded") / "mlflow.db"
    url = sqlite_url(Path(shutil.copy(old.removeprefix("sqlite:///"), path)))
    upgrade(url, installed_head())
    return url


def same(one, other):
    report = mlporter.diff(one, other, artifacts="none")
    assert report.identical, report.differences
    assert rows(other, _AT) == [(installed_head(),)]


def restore(bundle, url, **options):
    return mlporter.import_(
        str(bundle), url, artifacts="reference", include_secrets=True, **options
    )


def test_into_a_new_database_it_goes_as_it_is_and_mlflow_upgrades_it(
    old_bundle, upgraded, tmp_path
):
    url = sqlite_url(tmp_path / "new.db")
    assert restore(old_bundle, url, dry_run=True).exit_code == ExitCode.OK
    assert tree(tmp_path) == {}
    result = restore(old_bundle, url)
    assert result.exit_code == ExitCode.OK, result.left_out
    assert [OLD in note and installed_head() in note for note in result.notes] == [True]
    same(upgraded, url)


def test_into_a_new_postgresql_database_too(old_bundle, upgraded, empty_postgres_url):
    result = restore(old_bundle, empty_postgres_url)
    assert result.exit_code == ExitCode.OK, result.left_out
    same(upgraded, empty_postgres_url)


def test_what_is_committed_stays_where_mlflow_cannot_upgrade_it(
    old_bundle, empty_postgres_url, monkeypatch
):
    def fail(*_):
        raise RevisionError("no")

    monkeypatch.setattr("mlporter.stores.database.target.upgrade_schema", fail)
    result = restore(old_bundle, empty_postgres_url)
    assert result.exit_code == ExitCode.INCOMPLETE
    (item,) = (item for item in result.left_out.first if not item.expected)
    assert item.reason == "not-upgraded"
    assert "mlflow db upgrade" in item.detail
    assert rows(empty_postgres_url, _AT) == [(OLD,)]
    assert rows(empty_postgres_url, "SELECT count(*) FROM runs") == [(6,)]


def test_into_a_target_in_use_goes_what_mlflow_makes_of_it(old_bundle, upgraded, mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    columns = "name, artifact_location, lifecycle_stage, workspace"
    execute(url, f"INSERT INTO experiments ({columns}) VALUES ('mine', '/x', 'active', 'default')")
    before = row_counts(url)
    assert restore(old_bundle, url, dry_run=True).exit_code == ExitCode.OK
    assert row_counts(url) == before
    result = restore(old_bundle, url)
    assert result.exit_code == ExitCode.OK, result.left_out
    assert any("MLflow upgraded a copy" in note for note in result.notes)
    for table, query in {
        "trace_info": "SELECT request_id, trace_name FROM trace_info ORDER BY 1",
        "runs": "SELECT run_uuid, name FROM runs ORDER BY 1",
    }.items():
        assert rows(url, query) == rows(upgraded, query), table
    again = restore(old_bundle, url)
    assert (again.exit_code, again.rows) == (ExitCode.OK, 0)


def test_a_target_at_its_own_old_revision_takes_it_as_it_is(old_bundle, tmp_path):
    url = sqlite_url(tmp_path / "mlflow.db")
    make_schema(url, OLD)
    assert restore(old_bundle, url).exit_code == ExitCode.OK
    assert rows(url, _AT) == [(OLD,)]
