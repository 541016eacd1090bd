"""`browse`: what it refuses, before anything is started."""

from __future__ import annotations

import shutil

import pytest

import mlporter
from mlporter.errors import (
    BundleDamagedError,
    BundleUnfinishedError,
    UnreachableError,
    UsageError,
)


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
