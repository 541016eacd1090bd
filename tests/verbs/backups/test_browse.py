"""`browse`: what it refuses, before anything is started."""

from __future__ import annotations

import shutil
from contextlib import closing

import pytest

import mlporter
from mlporter.browsing.scratch import make_scratch
from mlporter.errors import (
    BundleDamagedError,
    BundleUnfinishedError,
    UnreachableError,
    UsageError,
)
from mlporter.progress import silent
from mlporter.stores.opening import open_source
from mlporter.verbs.backups.browse import _notes
from tests.support.next_mlflow import add_rows, make_next


@pytest.fixture(autouse=True)
def no_server(monkeypatch, tmp_path):
    """Temporary files go to a folder of their own, which is empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_a_server_has_a_ui(tmp_path):
    with pytest.raises(UsageError, match="has a UI of its own"):
        mlporter.browse("http://127.0.0.1:9")


def test_what_is_no_bundle(tmp_path):
    with pytest.raises(UnreachableError):
        mlporter.browse(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        mlporter.browse(tmp_path / "empty")


def test_an_unfinished_bundle(tmp_path):
    (tmp_path / "bundle" / ".mlporter").mkdir(parents=True)
    with pytest.raises(BundleUnfinishedError):
        mlporter.browse(tmp_path / "bundle")


def test_a_damaged_bundle(rich_bundle, tmp_path):
    bundle = shutil.copytree(rich_bundle, tmp_path / "bundle")
    (bundle / "manifest.yaml").unlink()
    with pytest.raises(BundleDamagedError):
        mlporter.browse(bundle)


def notes_on(address, folder):
    folder.mkdir()
    with closing(open_source(str(address), include_tables=())) as source:
        return list(_notes(source, make_scratch(source, folder, silent)))


def test_what_only_a_newer_mlflow_shows_is_named(plain_sqlite, tmp_path):
    make_next(plain_sqlite.tracking_uri)
    add_rows(plain_sqlite.tracking_uri)
    notes = notes_on(plain_sqlite.tracking_uri, tmp_path / "scratch")
    assert [note for note in notes if "Not shown: table reviews: 1 row" in note]
    assert [note for note in notes if "Not shown: column runs.team" in note]


def test_a_bundle_without_files_says_so(plain_sqlite, tmp_path):
    mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle", artifacts="none")
    (note,) = notes_on(tmp_path / "bundle", tmp_path / "scratch")
    assert "no artifact files" in note
