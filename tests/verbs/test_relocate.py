"""`relocate`: a database's URIs follow its files, or nothing is changed."""

from pathlib import Path

import mlflow
import pytest

import mlporter
from mlporter.errors import RefusedError, UnsupportedError
from tests.execute.database.test_remap import places
from tests.support.databases import execute, rows
from tests.support.mlflow_session import mlflow_at, sqlite_url


@pytest.fixture
def moved(plain_sqlite):
    """The registry, and the folders that its files were in and are in."""
    [(uri,)] = rows(
        plain_sqlite.tracking_uri, "SELECT artifact_uri FROM runs ORDER BY run_uuid LIMIT 1"
    )
    old = uri.rsplit("/", 3)[0]
    return plain_sqlite, old, f"{old}-moved"


def move(old, new):
    Path(old).rename(new)


def test_models_load_from_where_the_files_are(moved):
    registry, old, new = moved
    move(old, new)
    result = mlporter.relocate(registry.tracking_uri, [f"{old}={new}"])
    assert result.exit_code == 0
    after = places(registry.tracking_uri)
    assert result.changed == sum(uri.startswith(f"{new}/") for uri in after) > 0
    with mlflow_at(registry.tracking_uri):
        assert mlflow.artifacts.download_artifacts(f"models:/{registry.model_name}/1")
    assert mlporter.relocate(registry.tracking_uri, [f"{old}={new}"]).changed == 0


def test_missing_files_are_named_and_nothing_is_written(moved):
    registry, old, new = moved
    before = places(registry.tracking_uri)
    with pytest.raises(RefusedError) as caught:
        mlporter.relocate(registry.tracking_uri, [f"{old}={new}/nowhere/at-all"])
    assert caught.value.reasons
    assert places(registry.tracking_uri) == before
    plan = mlporter.relocate(registry.tracking_uri, [f"{old}={new}/x/y"], dry_run=True)
    assert plan.exit_code == 4
    assert places(registry.tracking_uri) == before
    assert mlporter.relocate(registry.tracking_uri, [f"{old}={new}"], check=False).changed
    assert places(registry.tracking_uri) != before


def test_only_databases(tmp_path):
    with pytest.raises(UnsupportedError):
        mlporter.relocate("http://localhost:1", ["/a=/b"])


def test_a_run_that_was_left_behind_is_named(moved):
    registry, old, new = moved
    move(old, new)
    run = registry.run_ids[0]
    left = next(Path(new).rglob(f"{run}/artifacts"))
    back = Path(old) / left.relative_to(new)
    back.parent.mkdir(parents=True)
    left.rename(back)
    with pytest.raises(RefusedError) as caught:
        mlporter.relocate(registry.tracking_uri, [f"{old}={new}"])
    assert run in str(caught.value)


@pytest.mark.parametrize("target_url", ["postgresql", "mysql"], indirect=True)
def test_servers_of_databases_too(moved, target_url):
    registry, old, new = moved
    mlporter.copy(registry.tracking_uri, target_url, artifacts="reference")
    before = places(target_url)
    result = mlporter.relocate(target_url, [f"{old}={new}"], check=False)
    changed = [uri.replace(f"{old}/", f"{new}/") for uri in before]
    assert result.changed == sum(a != b for a, b in zip(before, changed, strict=True))
    assert places(target_url) == sorted(changed)
    with pytest.raises(RefusedError):
        mlporter.relocate(target_url, [f"{new}=/{'x' * 300}"], check=False)
    assert places(target_url) == sorted(changed)


def test_files_that_stayed_in_a_bucket_are_named(plain_sqlite, mlflow_sqlite, s3):
    old, new = s3.new_bucket(), s3.new_bucket()
    url = sqlite_url(mlflow_sqlite)
    mlporter.copy(plain_sqlite.tracking_uri, url, artifact_root=f"{old}/mlflow")
    with pytest.raises(RefusedError, match="still at s3://"):
        mlporter.relocate(url, [f"{old}={new}"])
    assert any(uri.startswith(old) for uri in places(url))


def test_a_run_that_never_had_files_is_not_left_behind(plain_sqlite, mlflow_sqlite, s3):
    old, new = s3.new_bucket(), s3.new_bucket()
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "INSERT INTO runs (run_uuid, name, experiment_id, status, lifecycle_stage, artifact_uri)"
        f" VALUES ('{'a' * 32}', 'x', 0, 'FINISHED', 'active', '{old}/a')",
    )
    assert mlporter.relocate(url, [f"{old}={new}"]).changed == 1
