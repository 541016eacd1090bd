"""`verify --restore-test`: MLflow counts what a snapshot restores to, and loads models of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

import mlporter
from mlporter.errors import ExitCode, UsageError
from mlporter.promotion.checks import fresh_load
from tests.support.databases import rows

pytestmark = pytest.mark.usefixtures("quick_uis")


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """Temporary files go to a folder of their own, which is empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("temporary")
def test_mlflow_sees_all_of_a_snapshot_and_its_models_predict(
    plain_sqlite, tmp_path, monkeypatch, forking_python
):
    # Models only: MLflow counts as it does for everybody, in a Python of its own.
    monkeypatch.setattr(fresh_load, "sys", SimpleNamespace(executable=forking_python))
    source = plain_sqlite.tracking_uri
    mlporter.backup(source, tmp_path / "backups")
    done = mlporter.verify(f"{tmp_path}/backups/@latest", quick=True, restore_test=True)
    assert (done.exit_code, done.check.problems) == (ExitCode.OK, [])
    test = done.restore
    assert test is not None
    in_tables = {table: rows(source, f"SELECT count(*) FROM {table}")[0][0] for table in test.found}
    assert test.found == in_tables == test.expected
    names = sorted(one.name for one in test.models)
    assert names == [f"models:/{plain_sqlite.model_name}/{number}" for number in (1, 2, 3)]
    assert {one.outcome for one in test.models} == {"loads"}
    assert done.as_dict()["restore"]["found"] == in_tables


def test_a_model_that_does_not_load_is_found_though_no_byte_changed(
    plain_sqlite, tmp_path, cli, quick_loads
):
    (model,) = rows(
        plain_sqlite.tracking_uri,
        "SELECT storage_location FROM model_versions WHERE version = 2",
    )[0]
    folder = Path(mlflow.artifacts.download_artifacts(model))  # where it is, as it is local
    (file,) = folder.rglob("*.py")
    file.write_text("from a_package_that_is_nowhere import anything\n")
    mlporter.backup(plain_sqlite.tracking_uri, tmp_path / "backups")
    snapshot = f"{tmp_path}/backups/@latest"
    assert mlporter.verify(snapshot).exit_code == ExitCode.OK
    done = cli("verify", snapshot, "--restore-test", "--read-data", "50%")
    assert done.code == ExitCode.BUNDLE
    assert f"models:/{plain_sqlite.model_name}/2: restore: " in done.out
    assert "a_package_that_is_nowhere" in done.out
    assert "Undamaged, but the restore test failed: 1 problem." in done.out
    assert f"models:/{plain_sqlite.model_name}/3 loads" in done.out


def test_workspaces_prompts_and_deleted_things_are_counted_as_mlflow_does(
    rich_sqlite_workspaces, tmp_path, quick_loads
):
    mlporter.export(rich_sqlite_workspaces.tracking_uri, tmp_path / "bundle")
    done = mlporter.verify(tmp_path / "bundle", quick=True, restore_test=True, restore_models=1)
    assert (done.exit_code, done.check.problems) == (ExitCode.OK, [])
    assert done.restore is not None
    assert done.restore.found == done.restore.expected
    assert len(done.restore.models) == 1


def test_a_repository_is_no_registry(two_snapshots):
    with pytest.raises(UsageError, match="many registries") as raised:
        mlporter.verify(two_snapshots[1], restore_test=True)
    assert "--restore-test" in str(raised.value.hint)
