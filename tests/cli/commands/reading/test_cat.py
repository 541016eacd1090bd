"""`mlporter cat` and `Registry.open_artifact`: one file, out of every kind of place."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

import mlporter
from tests.support.mlflow_session import mlflow_at
from tests.support.rich_models import MODEL_NAME


@pytest.fixture(scope="module")
def expected(rich_sqlite_template):
    """What MLflow downloads of a version, by the path below it."""
    import mlflow  # noqa: PLC0415 -- seconds

    with mlflow_at(rich_sqlite_template.tracking_uri):
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL_NAME}@champion"))
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "registered_model_meta"
        }


def test_the_files_of_a_version_are_those_that_mlflow_downloads(
    rich_sqlite_template, rich_bundle, expected
):
    for place in (rich_sqlite_template.tracking_uri, rich_bundle):
        with mlporter.open(place) as registry:
            for path, content in expected.items():
                with registry.open_artifact(f"models:/{MODEL_NAME}@champion/{path}") as stream:
                    assert stream.read() == content


def test_a_model_is_found_through_its_run_and_by_its_id(rich_sqlite_template):
    with mlporter.open(rich_sqlite_template.tracking_uri) as registry:
        sources = set(registry.to_pandas("model_versions")["source"])
        models = registry.to_pandas("logged_models").itertuples()
        one = next(model for model in models if f"models:/{model.model_id}" in sources)
        found = []
        for uri in (f"models:/{one.model_id}", f"runs:/{one.source_run_id}/{one.name}"):
            with registry.open_artifact(f"{uri}/MLmodel") as stream:
                found.append(stream.read())
    assert found[0] == found[1]
    assert one.model_id.encode() in found[0]


def test_bytes_are_written_as_they_are(mlporter, rich_bundle, expected):
    uri = f"models:/{MODEL_NAME}@champion/MLmodel"
    assert mlporter("cat", rich_bundle, uri).out.encode() == expected["MLmodel"]
    told = json.loads(mlporter("cat", rich_bundle, uri, "--json").out)
    assert told["sha256"] == sha256(expected["MLmodel"]).hexdigest()
    assert told["size"] == len(expected["MLmodel"])


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        (f"models:/{MODEL_NAME}@champion", "MLmodel"),
        (f"models:/{MODEL_NAME}@champion/MLmodle", "did you mean MLmodel?"),
        (f"models:/{MODEL_NAME}", "models:/NAME/3/path"),
        ("models:/rich-modle/1/MLmodel", MODEL_NAME),
        ("runs:/0123/model", "0123"),
        ("mlflow-artifacts:/1/x", "runs:/ID/path"),
    ],
)
def test_what_is_not_there_is_named(mlporter, rich_bundle, uri, named):
    finished = mlporter("cat", rich_bundle, uri)
    assert finished.code == 2
    assert named in finished.err
    assert finished.out == ""
