"""What `mlflow gc` purged, or people marked as deleted, comes back from a backup, and whole."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.entities import ViewType

import mlporter
from mlporter.errors import ConflictError, ExitCode
from tests.conftest import forget_artifact_places
from tests.support.databases import rows
from tests.support.mlflow_session import mlflow_at
from tests.support.rich_models import EXAMPLE_INPUT
from tests.support.rich_registry import copy_with_artifacts

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

    from tests.support.rich_registry import RichRegistry


def gc(address: str, *more: str) -> None:
    """Run MLflow's own command."""
    from mlflow.cli import gc as command  # noqa: PLC0415 -- takes seconds

    with mlflow_at(address):
        done = CliRunner().invoke(command, ["--backend-store-uri", address, *more])
    assert done.exit_code == 0, done.output


def everything(client: MlflowClient) -> list[str]:
    """The ids of all experiments."""
    return [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]


def purge_runs(rich: RichRegistry) -> None:
    """Delete every run, and let MLflow purge them."""
    client = rich.client()
    for run in client.search_runs(everything(client), run_view_type=ViewType.ACTIVE_ONLY):
        client.delete_run(run.info.run_id)
    gc(rich.tracking_uri)


def purge_experiments(rich: RichRegistry) -> None:
    """Delete every experiment but the default one, and let MLflow purge them."""
    # It cannot where a scorer is a guardrail's.
    with closing(sqlite3.connect(rich.database_path)) as database:
        database.execute("DELETE FROM guardrail_configs")
        database.execute("DELETE FROM guardrails")
        database.commit()
    client = rich.client()
    for experiment in client.search_experiments(view_type=ViewType.ACTIVE_ONLY):
        if experiment.experiment_id != "0":
            client.delete_experiment(experiment.experiment_id)
    gc(rich.tracking_uri)


def purge_logged_models(rich: RichRegistry) -> None:
    """Delete every logged model, and let MLflow purge them."""
    client = rich.client()
    for model in client.search_logged_models(everything(client)):
        client.delete_logged_model(model.model_id)
    gc(rich.tracking_uri)


def delete_versions(rich: RichRegistry) -> None:
    """Delete every version: MLflow leaves a row without source and run."""
    client = rich.client()
    for version in client.search_model_versions():
        client.delete_model_version(version.name, version.version)


def delete_models(rich: RichRegistry) -> None:
    """Delete every registered model."""
    client = rich.client()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


def delete_traces(rich: RichRegistry) -> None:
    """Delete every trace: there is no trash for them."""
    client = rich.client()
    for experiment in everything(client):
        client.delete_traces(experiment, max_timestamp_millis=1 << 60, max_traces=1000)


PURGES = [
    (purge_runs, delete_traces),
    (delete_versions, purge_experiments),
    (purge_logged_models, delete_models),
]
"""What is purged together; it does not hang on each other."""


@pytest.fixture(scope="module")
def backed_up(rich_sqlite_template, tmp_path_factory) -> tuple[RichRegistry, Path]:
    """The rich registry, with files of its own, and a backup of it."""
    folder = tmp_path_factory.mktemp("backed-up")
    rich = copy_with_artifacts(rich_sqlite_template, folder / "rich")
    mlporter.export(rich.tracking_uri, folder / "backup")
    before = mlporter.diff(folder / "backup", rich.tracking_uri)
    assert before.exit_code == ExitCode.OK
    shutil.copytree(folder / "rich", folder / "as it was")
    return rich, folder / "backup"


@pytest.fixture
def rich(backed_up) -> RichRegistry:
    """That registry as it was when it was backed up."""
    forget_artifact_places()
    kept, backup = backed_up
    shutil.rmtree(backup.with_name("rich"))
    shutil.copytree(backup.with_name("as it was"), backup.with_name("rich"))
    return kept


@pytest.fixture
def backup(backed_up) -> Path:
    """The backup. Do not touch."""
    return backed_up[1]


@pytest.mark.parametrize("purges", PURGES, ids=lambda found: "-".join(p.__name__ for p in found))
def test_what_was_purged_comes_back_whole(rich, backup, purges):
    with mlflow_at(rich.tracking_uri):
        for purge in purges:
            purge(rich)
    wanted = {"artifact_root": rich.artifact_root, "include_secrets": True}
    planned = mlporter.import_(backup, rich.tracking_uri, dry_run=True, **wanted)
    assert planned.conflicts == ()
    done = mlporter.import_(backup, rich.tracking_uri, **wanted)
    assert done.tables == planned.tables
    after = mlporter.diff(backup, rich.tracking_uri)
    # MLflow moves a model's time when a version is deleted; that is the target's own.
    told = [d for d in after.differences if d.columns.keys() != {"last_updated_time"}]
    assert told == []
    again = mlporter.import_(backup, rich.tracking_uri, **wanted)
    assert sum(table.copied for table in again.tables) == 0


def delete_runs(rich: RichRegistry) -> None:
    """Mark every run as deleted: with it MLflow deletes the assessments that it made."""
    client = rich.client()
    for run in client.search_runs(everything(client), run_view_type=ViewType.ACTIVE_ONLY):
        client.delete_run(run.info.run_id)


def delete_experiments(rich: RichRegistry) -> None:
    """Mark some experiments as deleted, and so their runs."""
    client = rich.client()
    found = client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
    for experiment in [one for one in found if one.experiment_id != "0"][::2]:
        client.delete_experiment(experiment.experiment_id)


def delete_logged_models(rich: RichRegistry) -> None:
    """Mark every logged model as deleted."""
    client = rich.client()
    for model in client.search_logged_models(everything(client)):
        client.delete_logged_model(model.model_id)


def test_what_is_only_marked_as_deleted_is_restored_if_asked_for(rich, backup):
    with mlflow_at(rich.tracking_uri):
        for delete in (delete_logged_models, delete_runs, delete_experiments):
            delete(rich)
    wanted = {"artifact_root": rich.artifact_root, "include_secrets": True}
    with pytest.raises(ConflictError) as refused:
        mlporter.import_(backup, rich.tracking_uri, **wanted)
    for command in (
        "mlflow runs restore --run-id",
        "mlflow experiments restore --experiment-id",
        "--undelete",
    ):
        assert any(command in reason for reason in refused.value.reasons), command
    wanted["undelete"] = True
    planned = mlporter.import_(backup, rich.tracking_uri, dry_run=True, **wanted)
    done = mlporter.import_(backup, rich.tracking_uri, **wanted)
    assert (done.tables, done.units) == (planned.tables, planned.units)
    assert any("--undelete" in note for note in done.notes)
    after = mlporter.diff(backup, rich.tracking_uri)
    times = ({"last_update_time"}, {"deleted_time"})
    assert [d for d in after.differences if d.columns.keys() not in times] == []


def test_a_change_besides_the_deletion_is_still_a_conflict(rich, backup):
    client = rich.client()
    run = client.search_runs(everything(client), run_view_type=ViewType.ACTIVE_ONLY)[0].info.run_id
    client.update_run(run, name="seen by the target's people")
    client.delete_run(run)
    with pytest.raises(ConflictError, match="seen"):
        mlporter.import_(
            backup, rich.tracking_uri, artifacts="none", undelete=True,
            include_secrets=True,
        )  # fmt: skip
    assert client.get_run(run).info.lifecycle_stage == "deleted"


def test_left_over_inputs_of_another_run_stay(rich, backup):
    with mlflow_at(rich.tracking_uri):
        purge_runs(rich)
    left = rows(rich.tracking_uri, "SELECT destination_id FROM inputs WHERE source_type='DATASET'")
    assert len(left) > 1
    one = left[0][0]
    result = mlporter.import_(
        backup, rich.tracking_uri, artifacts="none", selection={"runs": [one]}
    )
    assert any("inputs" in note for note in result.notes)
    after = rows(rich.tracking_uri, "SELECT destination_id FROM inputs WHERE source_type='DATASET'")
    assert sorted(after) == sorted(left)
    assert rich.client().get_run(one).info.lifecycle_stage == "active"


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_on_other_engines_too(rich_sqlite, tmp_path, request, engine):
    names = {"postgresql": "mlflow_postgres_url", "mysql": "mlflow_mysql_url"}
    address = request.getfixturevalue(names[engine])
    wanted = {"artifact_root": str(tmp_path / "root"), "include_secrets": True}
    some = {"experiment": ["rich: *"], "model": [rich_sqlite.models.name]}
    part = mlporter.Selection.from_words(some)
    mlporter.copy(rich_sqlite.tracking_uri, address, selection=part, **wanted)
    mlporter.export(address, tmp_path / "backup", include_secrets=True)
    there = dataclasses.replace(rich_sqlite, tracking_uri=address)
    with mlflow_at(address):
        purge_runs(there)
        purge_logged_models(there)
        delete_versions(there)
    planned = mlporter.import_(tmp_path / "backup", address, dry_run=True, **wanted)
    done = mlporter.import_(tmp_path / "backup", address, **wanted)
    assert (done.tables, done.units) == (planned.tables, planned.units)
    after = mlporter.diff(tmp_path / "backup", address)
    assert [d for d in after.differences if d.columns.keys() != {"last_updated_time"}] == []


def test_a_version_that_stayed_loads_again(rich, backup, tmp_path):
    """The files of its logged model come to another place than they were at."""
    with mlflow_at(rich.tracking_uri):
        before = predictions(rich)
        purge_runs(rich)
        purge_logged_models(rich)
    mlporter.import_(backup, rich.tracking_uri, artifact_root=tmp_path / "new root")
    with mlflow_at(rich.tracking_uri):
        assert predictions(rich) == before


def predictions(rich: RichRegistry) -> list[object]:
    """What MLflow's own code loads from the registry, and what that says."""
    uris = [f"models:/{rich.models.name}/{version}" for version in (1, 3, 4)]
    return [list(mlflow.pyfunc.load_model(uri).predict(EXAMPLE_INPUT)) for uri in uris]
