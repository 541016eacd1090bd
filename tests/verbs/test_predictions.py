"""Models load by every kind of URI and predict the same, with the source's files gone.

Issues of mlflow-export-import (PEERS.md): artifacts left behind (#177), S3 (#73 #71 #173),
`mlflow-artifacts:` rejected (#53); the wrong model of a run registered; and of MLflow itself
artifact relocation (mlflow/mlflow #8226 #12108 #21250).
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from tests.conftest import forget_artifact_places
from tests.support.databases import rows
from tests.support.mlflow_session import mlflow_at
from tests.support.rich_models import EXAMPLE_INPUT, VERSION_FACTORS
from tests.support.rich_registry import copy_with_artifacts


@pytest.fixture(scope="module")
def moved(rich_sqlite_template, tmp_path_factory):
    """Export the rich registry, then move its database and files away; returns (rich, bundle)."""
    forget_artifact_places()
    folder = tmp_path_factory.mktemp("moved")
    rich = copy_with_artifacts(rich_sqlite_template, folder / "rich")
    assert mlporter.export(rich.tracking_uri, str(folder / "bundle")).files.files > 50
    gone = folder / "moved away"
    gone.mkdir()
    rich.database_path.rename(gone / "mlflow.db")
    Path(rich.artifact_root).rename(gone / "artifacts")
    return rich, folder / "bundle"


@pytest.fixture(autouse=True)
def forgotten():
    """The same runs are in another place in each test."""
    forget_artifact_places()


def uris(models):
    """Every kind of model URI, and the factor of the model behind it."""
    one, three, four = (VERSION_FACTORS[version] for version in (1, 3, 4))
    return {
        f"models:/{models.name}/1": one,
        f"models:/{models.name}/3": three,
        f"models:/{models.name}/4": four,
        f"models:/{models.name}@champion": three,
        f"models:/{models.name}@prod_2024-1": three,
        f"models:/{models.name}@challenger": four,
        f"models:/{models.name}/Production": three,
        f"models:/{models.name}/Staging": four,
        f"models:/{models.name}/Archived": one,
        f"models:/{models.awkward_name}/1": four,
        f"models:/{models.awkward_name}@only": four,
        f"models:/{models.first_model_id}": three,
        f"models:/{models.second_model_id}": four,
        f"runs:/{models.legacy_run_id}/model": one,
        f"models:/{models.runless_name}/1": 10.0,
        f"models:/{models.runless_name}/2": 20.0,
        f"models:/{models.runless_name}/3": 30.0,
    }


def assert_predicts_the_same(target_url, models, every=1):
    """Of every kind of URI, or of some of them: where files are says nothing of aliases."""
    import mlflow  # noqa: PLC0415 -- seconds

    asked = dict(list(uris(models).items())[every // 2 :: every])
    with mlflow_at(target_url):
        found = {uri: list(mlflow.pyfunc.load_model(uri).predict(EXAMPLE_INPUT)) for uri in asked}
        sklearn = mlflow.sklearn.load_model(f"models:/{models.sklearn_model_id}")
        assert sklearn.predict([[3.0]])[0] == pytest.approx(6.0)
    assert found == {
        uri: [factor * number for number in EXAMPLE_INPUT] for uri, factor in asked.items()
    }


PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


def assert_nothing_points_back(target_url, old_root):
    for table, column in PLACES:
        found = rows(target_url, f"SELECT {column} FROM {table}")
        assert [value for (value,) in found if value and old_root in value] == []


def assert_no_artifact_of_a_run_or_trace_stays_behind(target, rich):
    import mlflow  # noqa: PLC0415 -- seconds
    from mlflow.utils.file_utils import local_file_uri_to_path  # noqa: PLC0415

    from tests.support import rich_runs, rich_traces  # noqa: PLC0415 -- they import MLflow

    with mlflow_at(target):
        there = Path(mlflow.artifacts.download_artifacts(run_id=rich.runs.artifacts_id))
        found = {
            path.relative_to(there).as_posix(): path.read_bytes()
            for path in there.rglob("*")
            if path.is_file()
        }
        assert found == dict(rich_runs.ARTIFACTS)
        deleted = mlflow.artifacts.load_text(
            mlflow.get_run(rich.runs.deleted_id).info.artifact_uri + "/kept.txt"
        )
        assert deleted == "still here"
        # Spans of a trace of MLflow 2 are in a file.
        assert mlflow.get_trace(rich.traces.old_id).data.spans[0].name == "old"
        tags = mlflow.get_trace(rich.traces.attachment_id).info.tags
        attachments = Path(local_file_uri_to_path(tags["mlflow.artifactLocation"]))
        contents = [path.read_bytes() for path in attachments.rglob("*") if path.is_file()]
        assert rich_traces.ATTACHMENT in contents


def test_no_prediction_changes_on_a_local_disk(moved, mlflow_sqlite, tmp_path):
    rich, bundle = moved
    target = f"sqlite:///{mlflow_sqlite}"
    mlporter.import_(str(bundle), target, artifact_root=str(tmp_path / "new root é %41"))
    assert_nothing_points_back(target, rich.artifact_root)
    assert_predicts_the_same(target, rich.models)
    assert_no_artifact_of_a_run_or_trace_stays_behind(target, rich)


def test_no_prediction_changes_with_a_file_uri(moved, mlflow_sqlite, tmp_path):
    rich, bundle = moved
    target = f"sqlite:///{mlflow_sqlite}"
    mlporter.import_(str(bundle), target, artifact_root=(tmp_path / "mlartifacts").as_uri())
    assert_nothing_points_back(target, rich.artifact_root)
    assert_predicts_the_same(target, rich.models, every=2)


def test_no_prediction_changes_in_s3_and_back(moved, mlflow_postgres_url, s3, tmp_path):
    rich, bundle = moved
    bucket = s3.new_bucket()
    result = mlporter.import_(
        str(bundle), mlflow_postgres_url, artifact_root=f"{bucket}/deep/er", workers=8
    )
    assert result.exit_code == 0
    assert_nothing_points_back(mlflow_postgres_url, rich.artifact_root)
    assert_predicts_the_same(mlflow_postgres_url, rich.models, every=2)
    # S3 as a source, and its files compared with the bundle's, content by content.
    again = tmp_path / "again"
    mlporter.export(mlflow_postgres_url, str(again))
    report = mlporter.diff(str(bundle), str(again))
    assert report.identical
    assert mlporter.diff(str(bundle), mlflow_postgres_url).identical
