"""A registry out of artifacts alone: MLflow loads and lists what was made of them."""

from __future__ import annotations

import shutil
import time

import mlflow
import pytest

import mlporter
from tests.support.mlflow_session import mlflow_at
from tests.support.plain_registry import PLAIN_FACTORS
from tests.support.rich_models import EXAMPLE_INPUT


@pytest.fixture
def lost(plain_sqlite, tmp_path):
    """Artifacts of a registry whose database is gone, at another place."""
    folder = tmp_path / "artifacts"
    root = plain_sqlite.client().get_experiment(plain_sqlite.experiment_id).artifact_location
    place = root.removeprefix("file://")
    shutil.copytree(place, folder / plain_sqlite.experiment_id)
    return folder


def models_of(plain):
    with mlflow_at(plain.tracking_uri):
        return mlflow.search_logged_models([plain.experiment_id], output_format="list")


def test_models_keep_ids_runs_and_times_and_load(plain_sqlite, lost, tmp_path, mlflow_sqlite):
    before = {model.model_id: model for model in models_of(plain_sqlite)}
    target = f"sqlite:///{mlflow_sqlite}"
    result = mlporter.rebuild(lost, target)
    assert (result.verb, int(result.exit_code), result.source) == ("rebuild", 0, str(lost))
    assert result.files.mode == "reference"
    assert any("metrics" in note for note in result.notes)
    with mlflow_at(target):
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(f"rebuilt-{plain_sqlite.experiment_id}")
        after = {
            model.model_id: model
            for model in mlflow.search_logged_models(
                [experiment.experiment_id], output_format="list"
            )
        }
        assert after.keys() == before.keys()
        assert len(after) > 0
        for id_, model in after.items():
            assert model.source_run_id == before[id_].source_run_id
            assert client.get_run(model.source_run_id).info.status == "FINISHED"
            assert 0 < model.creation_timestamp <= time.time() * 1000
            info = mlflow.models.get_model_info(f"models:/{id_}")
            assert info.signature is not None
            predicted = list(mlflow.pyfunc.load_model(f"models:/{id_}").predict(EXAMPLE_INPUT))
            assert predicted in [[f * x for x in EXAMPLE_INPUT] for f in PLAIN_FACTORS.values()]
    again = mlporter.rebuild(lost, target)
    assert (int(again.exit_code), again.rows) == (0, 0)


def test_named_models_become_versions_with_files_of_the_target_s_own(
    plain_sqlite, lost, tmp_path, mlflow_sqlite
):
    ids = sorted(model.model_id for model in models_of(plain_sqlite))[:2]
    target, own = f"sqlite:///{mlflow_sqlite}", tmp_path / "own"
    asked = [f"back again={id_}" for id_ in ids]
    plan = mlporter.rebuild(lost, target, register=asked, artifact_root=own, dry_run=True)
    assert not own.exists()
    done = mlporter.rebuild(lost, target, register=asked, artifact_root=own)
    assert plan.rows == done.rows > 0
    shutil.rmtree(lost)
    with mlflow_at(target):
        for number, id_ in enumerate(ids, 1):
            version = mlflow.MlflowClient().get_model_version("back again", str(number))
            assert version.source == f"models:/{id_}"
            mlflow.pyfunc.load_model(f"models:/back again/{number}")


def test_what_files_do_not_tell_is_named(lost, plain_sqlite, mlflow_sqlite):
    (lost / "notes").mkdir()
    (lost / "notes" / "a.txt").write_text("x")
    model = next(lost.rglob("models/m-*/artifacts/MLmodel"))
    model.write_text("flavors: [\n")
    result = mlporter.rebuild(lost, f"sqlite:///{mlflow_sqlite}")
    assert int(result.exit_code) == 3
    named = {(item.kind, item.id) for item in result.left_out.first if not item.expected}
    assert ("folder", "notes") in named
    assert ("artifact", model.parent.relative_to(lost).as_posix()) in named


def test_what_cannot_be_rebuilt_is_refused_before_anything_is_made(lost, tmp_path):
    target = tmp_path / "new.db"
    (tmp_path / "empty").mkdir()
    for folder, register, error in (
        (tmp_path / "nowhere", (), mlporter.UnreachableError),
        (tmp_path / "empty", (), mlporter.UsageError),
        (lost, ("clf",), mlporter.UsageError),
        (lost, ("clf=m-none",), mlporter.UsageError),
    ):
        with pytest.raises(error):
            mlporter.rebuild(folder, f"sqlite:///{target}", register=register)
    assert not target.exists()


def test_the_artifact_root_may_lie_in_a_bucket(plain_sqlite, lost, s3, mlflow_sqlite):
    import boto3  # noqa: PLC0415 -- of this test only

    client = boto3.client("s3")
    client.create_bucket(Bucket="lost")
    for file in lost.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), "lost", f"root/{file.relative_to(lost).as_posix()}")
    target = f"sqlite:///{mlflow_sqlite}"
    assert int(mlporter.rebuild("s3://lost/root", target).exit_code) == 0
    with mlflow_at(target):
        for model in models_of(plain_sqlite):
            found = mlflow.MlflowClient().get_logged_model(model.model_id)
            assert found.artifact_location.startswith("s3://lost/root/")
