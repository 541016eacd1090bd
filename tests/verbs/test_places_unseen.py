"""Places that cannot be looked at: each is its owner's entry, and the rest goes on.

"Not there" loses nothing, "nobody can say" might. And where no file was ever logged, none is lost.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlporter
from mlporter.errors import AccessDeniedError
from tests.support.databases import execute, rows
from tests.support.denied import denied
from tests.support.file_stores import FolderStore, put
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.moved import RECORDED, move_files, record_elsewhere


def unexpected(result):
    return [item for item in result.left_out.first if not item.expected]


def named(result):
    return {(item.kind, item.id, item.reason) for item in unexpected(result)}


# --- Access denied --------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "plain"])
def test_a_folder_of_artifacts_that_may_not_be_entered(below, plain_sqlite, tmp_path):
    with denied(Path(plain_sqlite.artifact_root, below)):
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
        target = sqlite_url(tmp_path / "new.db")
        copied = mlporter.copy(plain_sqlite.tracking_uri, target, artifact_root=tmp_path / "root")
    url = plain_sqlite.tracking_uri
    owners = {("run", run, "unreachable") for (run,) in rows(url, "SELECT run_uuid FROM runs")}
    models = rows(url, "SELECT model_id FROM logged_models")
    owners |= {("logged_model", model, "unreachable") for (model,) in models}
    assert named(result) == named(copied) == owners
    assert (result.exit_code, copied.exit_code) == (3, 3)
    assert {item.detail.count("Permission denied") for item in unexpected(result)} == {1}


def test_one_run_that_may_not_be_entered(plain_sqlite, tmp_path):
    run = plain_sqlite.run_ids[0]
    with denied(Path(plain_sqlite.artifact_root, "plain", run)):
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    assert named(result) == {("run", run, "unreachable")}
    assert result.files.files > 0


def test_beside_a_moved_store(plain_sqlite, tmp_path):
    """What may be in a closed folder is not said to be nowhere."""
    moved = move_files(plain_sqlite, "mlruns")
    record_elsewhere(plain_sqlite, RECORDED["windows"])
    with denied(moved):
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    assert result.exit_code == 3
    assert {item.reason for item in unexpected(result)} == {"unreachable"}
    assert ("run", plain_sqlite.run_ids[0], "unreachable") in named(result)


def test_orphans_in_a_closed_folder_are_not_said_to_be_none(plain_sqlite, tmp_path, cli):
    url, folder = plain_sqlite.tracking_uri, tmp_path / "other/7"
    put(folder / ("a" * 32) / "artifacts/x", "orphan")
    execute(url, f"UPDATE experiments SET artifact_location = '{folder}' WHERE experiment_id = 0")
    with denied(folder):
        plain = mlporter.export(url, tmp_path / "bundle")
        carried = mlporter.export(url, tmp_path / "orphans", orphans=True)
        found = mlporter.inspect(url)
        shown = cli("inspect", url)
    # Nothing that a row has is lost; it is only not known what else there is.
    assert plain.exit_code == 0
    [note] = plain.notes
    assert note.startswith("1 folder was not looked through")
    assert named(carried) == {("orphan", "0", "unreachable")}
    assert [item.id for item in found.losses] == ["0"]
    assert "Permission denied" in shown.out
    assert mlporter.export(url, tmp_path / "open", orphans=True).exit_code == 0


def test_one_orphan_in_a_closed_folder(plain_sqlite, tmp_path):
    experiment = Path(plain_sqlite.artifact_root, "plain")
    put(experiment / ("a" * 32) / "artifacts/x", "orphan")
    put(experiment / ("b" * 32) / "artifacts/x", "orphan")
    with denied(experiment / ("a" * 32)):
        result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle", orphans=True)
    label = f"{plain_sqlite.experiment_id}/{'a' * 32}/artifacts"
    assert named(result) == {("orphan", label, "unreachable")}
    with mlporter.open(tmp_path / "bundle") as bundle:
        files = bundle.to_pandas("artifacts")
    assert set(files[files.owner_kind == "orphan"].owner_id) == {
        f"{plain_sqlite.experiment_id}/{'b' * 32}/artifacts"
    }


def test_a_source_that_may_not_be_entered_is_unreachable(plain_sqlite, tmp_path, cli):
    """All of it, and not one thing in it: exit code 6, and no crash."""
    closed = tmp_path / "closed"
    FolderStore(closed / "mlruns").experiment()
    mlporter.export(plain_sqlite.tracking_uri, closed / "bundle")
    shutil.copy(plain_sqlite.database_path, closed / "mlflow.db")
    with denied(closed):
        for place in (closed / "mlruns", closed / "bundle", (closed / "mlruns").as_uri()):
            done = cli("inspect", place)
            assert (done.code, "ermission" in done.err) == (6, True), done.err
        assert cli("inspect", sqlite_url(closed / "mlflow.db")).code == 6
        assert cli("rebuild", closed / "mlruns", sqlite_url(tmp_path / "new.db")).code == 6
        with pytest.raises(AccessDeniedError):
            mlporter.export(plain_sqlite.tracking_uri, tmp_path / "b", allow_root=[closed / "x"])


def test_relocate_names_an_old_place_that_may_not_be_entered(plain_sqlite, tmp_path):
    old = Path(plain_sqlite.artifact_root)
    new = tmp_path / "new"
    shutil.copytree(old, new)
    empty = plain_sqlite.run_ids[0]
    shutil.rmtree(new / "plain" / empty / "artifacts")
    (new / "plain" / empty / "artifacts").mkdir()
    with denied(old):
        plan = mlporter.relocate(plain_sqlite.tracking_uri, [f"{old}={new}"], dry_run=True)
    unseen = {f"run {run}" for run in (empty, plain_sqlite.model_run_id)}
    assert {reason.split(":")[0] for reason in plan.missing} == unseen
    assert all("nobody can say" in reason for reason in plan.missing)


# --- The trash ------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", [*RECORDED.values(), "s3://bucket/x", "what:/x"])
@pytest.mark.parametrize("trash", [True, False])
def test_a_run_without_files_whose_recorded_place_is_not_here(uri, trash, tmp_path, s3):
    store = FolderStore(tmp_path / "mlruns")
    store.run(store.experiment("2"))
    experiment = store.experiment("1", artifact_location=f"{uri}/1", trash=trash)
    run = store.run(experiment, artifact_uri=f"{uri}/1/{'f' * 32}/artifacts")
    (run / "artifacts").rmdir()
    result = mlporter.export(store.root, tmp_path / "bundle")
    # Files on a disk would be beside the description, as everything was moved together.
    is_elsewhere = uri.startswith(("s3:", "what:"))
    assert result.exit_code == (3 if is_elsewhere else 0)
    assert named(result) == ({("run", run.name, "unreachable")} if is_elsewhere else set())


def test_a_run_in_the_trash_whose_files_may_not_be_read(tmp_path):
    store = FolderStore(tmp_path / "mlruns")
    store.run(store.experiment("2"))
    run = store.run(store.experiment("1", trash=True))
    put(run / "artifacts/x", "x")
    with denied(run / "artifacts"):
        result = mlporter.export(store.root, tmp_path / "bundle")
    assert (named(result), result.exit_code) == ({("run", run.name, "unreadable")}, 3)


# --- No file was ever logged ----------------------------------------------------------------------


@pytest.fixture
def numbers(mlflow_sqlite):
    """A database of runs with metrics only, as MLflow leaves it: no folder was ever made."""
    url = sqlite_url(mlflow_sqlite)
    root = mlflow_sqlite.parent / "mlruns"
    with mlflow_at(url):
        import mlflow  # noqa: PLC0415 -- seconds

        client = mlflow.MlflowClient()
        experiment = client.create_experiment("numbers", artifact_location=f"{root}/1")
        for _ in range(2):
            client.log_metric(client.create_run(experiment).info.run_id, "loss", 1.0)
    execute(url, f"UPDATE experiments SET artifact_location = '{root}/0' WHERE experiment_id = 0")
    shutil.rmtree(root, ignore_errors=True)
    return url, root


def test_runs_of_a_database_without_a_folder_lose_nothing(numbers, tmp_path):
    url, _ = numbers
    result = mlporter.export(url, tmp_path / "bundle")
    assert (result.exit_code, named(result)) == (0, set())
    assert result.notes == (
        (
            "2 runs have no files: the artifact folder next to the store was never created, or "
            "is gone."
        ),
    )


@pytest.mark.parametrize("uri", ["/elsewhere/mlruns", "./mlruns", "mlflow-artifacts:"])
def test_a_database_that_may_have_been_moved_away_from_its_files(uri, numbers, tmp_path):
    url, root = numbers
    for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
        execute(url, f"UPDATE {table} SET {column} = replace({column}, '{root}', '{uri}')")
    result = mlporter.export(url, tmp_path / "bundle")
    assert (result.exit_code, len(unexpected(result))) == (3, 2)


SHOWS = {
    "a model of MLflow 2": "INSERT INTO tags (key, value, run_uuid)"
    " SELECT 'mlflow.log-model.history', '[]', run_uuid FROM runs LIMIT 1",
    "a version": "INSERT INTO registered_models (name, workspace) VALUES ('m', 'default');"
    "INSERT INTO model_versions (name, version, workspace, source, status, current_stage)"
    " SELECT 'm', 1, 'default', artifact_uri || '/model', 'READY', 'None' FROM runs LIMIT 1",
    "a logged model": "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
    " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage)"
    " VALUES ('m-1', 1, 'm', '{root}/1/models/m-1/artifacts', 1, 1, 2, 'active')",
    "a trace": "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
    " VALUES ('tr-1', 1, 1, 'OK');"
    "INSERT INTO trace_tags VALUES"
    " ('mlflow.artifactLocation', '{root}/1/traces/tr-1/artifacts', 'tr-1')",
}


@pytest.mark.parametrize("what", SHOWS)
def test_where_something_shows_that_files_were_logged_their_loss_is_named(what, numbers, tmp_path):
    url, root = numbers
    for statement in SHOWS[what].format(root=root).split(";"):
        execute(url, statement)
    result = mlporter.export(url, tmp_path / "bundle")
    runs = {("run", run, "unreachable") for (run,) in rows(url, "SELECT run_uuid FROM runs")}
    assert result.exit_code == 3
    assert named(result) >= runs
