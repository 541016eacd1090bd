# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the other tests can save
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mlporter.artifacts.uris.ownership import (
    FileOwner,
    Location,
    VersionRow,
    Where,
    find_file_owners,
    locate_versions,
)
from tests.support.memory import traced_peak
from tests.support.mlflow_session import mlflow_at, sqlite_url

MODEL = "m-" + "0" * 32
ROOTS = (
    ("run", "r1", "s3://b/1/r1/artifacts"),
    ("run", "r2", "file:///srv/1/r2/artifacts"),
    ("run", "r3", ""),
    ("logged_model", MODEL, "s3://b/1/models/m/artifacts"),
)

VERSIONS = """
SELECT workspace, name, version, source, storage_location, run_id, current_stage
FROM model_versions
"""


def version(number=1, source=None, stored=None, **other):
    return VersionRow("default", "churn", number, source, stored, **other)


def locate(*versions, roots=ROOTS):
    found = locate_versions(versions, roots)
    return [found[v.key] for v in versions]


def test_the_longest_root_wins():
    roots = [("run", "outer", "/a"), ("logged_model", "inner", "/a/b"), ("run", "other", "/ab")]
    found = find_file_owners(["/a/b/c", "/a/x", "/a", "/abc", "/a/../ab"], roots)
    assert found == {
        "/a/b/c": FileOwner("logged_model", "inner", "c"),
        "/a/x": FileOwner("run", "outer", "x"),
        "/a": FileOwner("run", "outer", ""),
    }


def test_of_equal_roots_the_first_owner_wins_in_any_order():
    roots = [("run", "b", "/x"), ("run", "a", "/x/"), ("trace", "0", "file:///x")]
    for order in (roots, roots[::-1]):
        assert find_file_owners(["/x/y"], order) == {"/x/y": FileOwner("run", "a", "y")}


def test_relative_uris_with_a_base():
    roots = [("run", "a", "./mlruns/1/a/artifacts")]
    uri = "/db/mlruns/1/a/artifacts/model"
    assert find_file_owners([uri], roots) == {}
    assert find_file_owners([uri], roots, Path("/db"))[uri].rest == "model"


@pytest.mark.parametrize(
    "root",
    [
        "/a", "/a/b", "/a/b/", "/a//b/c", "/a/./b", "/a b/c", "/a/%2e%2e/b", "a/b/c", "./a/b",
        "file:/a/b", "file:///a/b/c", "file://localhost/a/b", "file://other/a/b", "c:/a/b",
        "C:\\a\\b", "s3://b", "s3://b/a", "s3://b/a/b", "s3://b//a/b", "s3://b/a/b?x=/y/z",
        "http://host:80/a/b", "mlflow-artifacts:/1/r/artifacts", "dbfs:/a/.b/c", "s3:///a/b",
    ],
)  # fmt: skip
def test_files_are_found_in_a_root_however_it_is_spelt(root):
    asked = f"{root}/model" if not root.partition("?")[1] else f"{root.replace('?', '/model?')}"
    assert find_file_owners([asked], [("run", "r", root)]) == {
        asked: FileOwner("run", "r", "model")
    }


def test_memory_does_not_grow_with_the_roots():
    def find():
        roots = (("run", f"{i:032x}", f"s3://bucket/1/{i:032x}/artifacts") for i in range(20_000))
        assert len(find_file_owners([f"s3://bucket/1/{7:032x}/artifacts/model"], roots)) == 1

    assert traced_peak(find) < 200_000


@pytest.mark.parametrize(
    ("row", "file_owner"),
    [
        (version(source="s3://b/1/r1/artifacts/model"), FileOwner("run", "r1", "model")),
        (version(source="/srv/1/r2/artifacts/model"), FileOwner("run", "r2", "model")),
        (version(source="runs:/r3/a/b"), FileOwner("run", "r3", "a/b")),
        (version(source="runs:/r3"), FileOwner("run", "r3", "")),
        (version(source="runs://profile@databricks/r3/a"), FileOwner("run", "r3", "a")),
        (version(source=f"models:/{MODEL}"), FileOwner("logged_model", MODEL, "")),
        (version(source=f"models:/{MODEL}/x"), FileOwner("logged_model", MODEL, "x")),
        (version(source="models:/gone/1", stored="s3://b/1/models/m/artifacts"),
         FileOwner("logged_model", MODEL, "")),
        (version(source="s3://elsewhere", stored="runs:/r1/m"), FileOwner("run", "r1", "m")),
    ],
)  # fmt: skip
def test_versions_in_somebody_elses_files(row, file_owner):
    assert locate(row) == [Location(Where.ANCHORED, file_owner)]


@pytest.mark.parametrize("uri", ["s3://b/1/r10/artifacts/m", "mlflow-artifacts:/1/x", "C:\\m"])
def test_versions_with_files_of_their_own(uri):
    assert locate(version(source=uri)) == [Location(Where.OWN, uri=uri)]
    assert locate(version(source="x", stored=uri)) == [Location(Where.OWN, uri=uri)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (version(source="prompt-template"), "placeholder"),
        (version(source="dummy-source"), "placeholder"),
        (version(source="s3://x", is_prompt=True), "prompt"),
        (version(), "empty"),
        (version(source=""), "empty"),
        (version(source="REDACTED-SOURCE-PATH", stored="s3://b/1/r1/artifacts"), "deleted"),
        (version(source="x", stage="Deleted_Internal"), "deleted"),
    ],
)
def test_versions_without_files(row, reason):
    [location] = locate(row)
    assert (location.where, location.reason, location.is_sound) == (Where.NONE, reason, True)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("runs:/gone/model", "missing"),
        ("models:/m-gone", "missing"),
        ("models:/churn/99", "missing"),
        ("models:/churn/1", "cycle"),
        ("models:/churn/Production", "unknown"),
        ("models:/churn@best", "unknown"),
        ("runs:/", "unknown"),
        ("runs:/r1/../r2", "unknown"),
    ],
)
def test_versions_that_name_what_is_not_there(uri, reason):
    [location] = locate(version(source=uri))
    assert (location.where, location.reason, location.is_sound) == (Where.NONE, reason, False)


def test_copies_of_copies_are_followed():
    first = version(1, source="s3://b/1/r1/artifacts/model")
    second = version(2, source="models:/churn/1")
    third = replace(version(1, source="models:/churn/2"), name="prod")
    part = version(4, source="models:/churn/1/code")
    located = locate(first, second, third, part)
    assert [location.file_owner for location in located] == [
        *[FileOwner("run", "r1", "model")] * 3,
        FileOwner("run", "r1", "model/code"),
    ]


def test_a_copy_of_a_deleted_version_is_missing_and_a_long_cycle_ends():
    deleted = version(1, source="REDACTED-SOURCE-PATH", stage="Deleted_Internal")
    copy = version(2, source="models:/churn/1")
    assert locate(deleted, copy)[1].reason == "missing"
    ring = [version(i, source=f"models:/churn/{(i + 1) % 100}") for i in range(100)]
    assert {location.reason for location in locate(*ring)} == {"cycle"}


def test_names_are_those_of_the_same_workspace():
    here = version(1, source="s3://own/here")
    there = replace(version(1, source="s3://own/there"), workspace="b")
    copy = replace(version(2, source="models:/churn/1"), workspace="b")
    assert locate(here, there, copy)[2].uri == "s3://own/there"


def test_the_versions_that_mlflow_makes(mlflow_sqlite, tmp_path):
    """Register, copy and delete with MLflow; then look at what it stored."""
    from mlflow import MlflowClient

    with mlflow_at(sqlite_url(mlflow_sqlite)):
        client = MlflowClient()
        experiment = client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())
        run = client.create_run(experiment).info
        model = client.create_logged_model(experiment, "m")
        client.create_registered_model("churn")
        client.create_model_version("churn", f"{run.artifact_uri}/model", run.run_id)
        client.create_model_version("churn", model.model_uri, model_id=model.model_id)
        client.copy_model_version("models:/churn/2", "prod")
        client.create_model_version("churn", "s3://elsewhere/x")
        client.delete_model_version("churn", "3")
    with contextlib.closing(sqlite3.connect(mlflow_sqlite)) as database:
        rows = [VersionRow(*row[:6], stage=row[6]) for row in database.execute(VERSIONS)]
    roots = [
        ("run", run.run_id, run.artifact_uri),
        ("logged_model", model.model_id, model.artifact_location),
    ]
    found = {key[1:]: location for key, location in locate_versions(rows, roots).items()}
    assert found == {
        ("churn", 1): Location(Where.ANCHORED, FileOwner("run", run.run_id, "model")),
        ("churn", 2): Location(Where.ANCHORED, FileOwner("logged_model", model.model_id, "")),
        ("prod", 1): Location(Where.ANCHORED, FileOwner("logged_model", model.model_id, "")),
        ("churn", 3): Location(Where.NONE, reason="deleted"),
    }
