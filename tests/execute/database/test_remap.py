"""`--artifacts reference --map-uri OLD=NEW`: the files are there already, under another address."""

import pytest

import mlporter
from mlporter.errors import UsageError
from tests.support.databases import rows
from tests.support.mlflow_session import sqlite_url

PLACES = (
    "SELECT artifact_location FROM experiments",
    "SELECT artifact_uri FROM runs",
    "SELECT artifact_location FROM logged_models",
    "SELECT source FROM model_versions WHERE source NOT LIKE 'models:/%'",
    "SELECT storage_location FROM model_versions",
    "SELECT value FROM trace_tags WHERE value LIKE '%artifacts'",
)


def places(url):
    return sorted(str(uri) for query in PLACES for (uri,) in rows(url, query) if uri)


@pytest.fixture
def old_root(plain_sqlite):
    [(uri,)] = rows(
        plain_sqlite.tracking_uri,
        "SELECT artifact_uri FROM runs ORDER BY run_uuid LIMIT 1",
    )
    return uri.rsplit("/", 3)[0]


def test_every_place_names_the_new_folder(plain_sqlite, old_root, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    result = mlporter.copy(
        plain_sqlite.tracking_uri,
        target,
        artifacts="reference",
        uri_map=[f"{old_root}=s3://renamed/store"],
    )
    assert result.exit_code == 0
    before = places(plain_sqlite.tracking_uri)
    expected = [uri.replace(old_root, "s3://renamed/store") for uri in before]
    assert places(target) == sorted(expected)
    assert expected != before


def test_an_export_rewrites_nothing_and_so_refuses(plain_sqlite, old_root, tmp_path):
    bundle = tmp_path / "bundle"
    with pytest.raises(UsageError):
        mlporter.export(
            plain_sqlite.tracking_uri,
            str(bundle),
            artifacts="reference",
            uri_map=[f"{old_root}=s3://renamed/store"],
        )
    assert not bundle.exists()


def test_without_pairs_they_stay(plain_sqlite, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    mlporter.copy(plain_sqlite.tracking_uri, target, artifacts="reference")
    assert places(target) == places(plain_sqlite.tracking_uri)


def test_twice_is_once(plain_sqlite, old_root, tmp_path):
    target = sqlite_url(tmp_path / "new.db")
    wishes = {"artifacts": "reference", "uri_map": [f"{old_root}=s3://renamed/store"]}
    mlporter.copy(plain_sqlite.tracking_uri, target, **wishes)
    before = places(target)
    again = mlporter.copy(plain_sqlite.tracking_uri, target, **wishes)
    assert (again.exit_code, again.rows) == (0, 0)
    assert places(target) == before
