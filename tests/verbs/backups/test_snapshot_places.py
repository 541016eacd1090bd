"""Snapshots where verbs take a bundle, and what may not be written beside them."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import ExitCode, UsageError
from tests.repository.registry import SmallRegistry
from tests.support.databases import dump
from tests.support.file_stores import FolderStore
from tests.support.mlflow_session import sqlite_url


@pytest.fixture
def registry(mlflow_sqlite_template, tmp_path):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    made.add_run("a" * 32, 2, {"a.txt": b"a"})
    return made


def test_import_reads_a_snapshot(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "backups")
    target = sqlite_url(tmp_path / "new.db")
    mlporter.import_(f"{tmp_path}/backups/@latest", target, artifacts="reference")
    assert dump(target) == dump(registry.url)


def test_a_signature_is_of_bundles_only(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "backups")
    place, target = f"{tmp_path}/backups/@latest", tmp_path / "new.db"
    with pytest.raises(UsageError, match="snapshot is not signed"):
        mlporter.import_(place, sqlite_url(target), require_signature="key.pub")
    with pytest.raises(UsageError, match="snapshot is not signed"):
        mlporter.verify(place, require_signature="key.pub")
    with pytest.raises(UsageError, match="repository is not signed"):
        mlporter.verify(tmp_path / "backups", require_signature="key.pub")
    assert not target.exists()


def test_nothing_else_is_written_into_a_repository(registry, tmp_path):
    backups = tmp_path / "backups"
    mlporter.backup(registry.url, backups)
    before = {p for p in backups.rglob("*") if p.is_file()}
    latest = f"{backups}/@latest"
    with pytest.raises(UsageError, match="is a repository of snapshots"):
        mlporter.export(registry.url, backups)
    with pytest.raises(UsageError, match="inside the repository"):
        mlporter.export(latest, backups / "bundle")
    with pytest.raises(UsageError, match="inside the repository"):
        mlporter.unpack(latest, backups / "files")
    with pytest.raises(UsageError, match="inside the repository"):
        mlporter.copy(latest, sqlite_url(backups / "new.db"))
    with pytest.raises(UsageError, match="target is a database or a server"):
        mlporter.copy(registry.url, backups)
    assert {p for p in backups.rglob("*") if p.is_file()} == before


def test_no_repository_is_made_in_a_bundle(registry, tmp_path):
    mlporter.export(registry.url, tmp_path / "bundle")
    with pytest.raises(UsageError, match="inside the bundle"):
        mlporter.backup(tmp_path / "bundle", tmp_path / "bundle" / "backups")
    assert mlporter.verify(tmp_path / "bundle").check.problems == []


def test_points_written_twice_are_copied_once(tmp_path):
    """A file store may hold a point twice, and so does its snapshot; a database may not."""
    store = FolderStore(tmp_path / "mlruns")
    run = store.run(store.experiment("1", "churn"))
    (run / "metrics" / "rmse").write_text("5 0.5 0\n5 0.5 0\n6 0.4 1\n")
    mlporter.backup(tmp_path / "mlruns", tmp_path / "backups")
    target = sqlite_url(tmp_path / "new.db")
    mlporter.copy(f"{tmp_path}/backups/@latest", target, artifacts="reference")
    assert len(dump(target)["metrics"]) == 2
    compared = mlporter.diff(f"{tmp_path}/backups/@latest", target)
    assert compared.exit_code == ExitCode.OK
