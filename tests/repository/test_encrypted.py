"""An encrypted repository: nothing in it can be read without the key, by anybody's tools."""

from __future__ import annotations

import pyrage
import pytest

import mlporter
from mlporter.errors import AccessDeniedError, UsageError
from tests.repository.registry import SmallRegistry
from tests.support.databases import dump
from tests.support.mlflow_session import sqlite_url


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A recipient; its private key is in a file that the variable names."""
    identity = pyrage.x25519.Identity.generate()
    file = tmp_path / "key.txt"
    file.write_text(f"# created: today\n{identity}\n")
    monkeypatch.setenv("MLPORTER_IDENTITY", str(file))
    return str(identity.to_public())


@pytest.fixture
def registry(mlflow_sqlite_template, tmp_path):
    registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    registry.add_run("a" * 32, 3, {"small.txt": b"SECRET-CONTENT", "big": b"SECRET-BIG" * 50_000})
    registry.set_tag("a" * 32, "note", "SECRET-TAG")
    return registry


def test_nothing_is_readable_without_the_key(registry, keys, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    mlporter.backup(registry.url, repository, encrypt=[keys])
    registry.add_run("b" * 32)
    mlporter.backup(registry.url, repository)
    everything = b"".join(f.read_bytes() for f in repository.rglob("*") if f.is_file())
    for word in (b"SECRET", b"churn", b"PAR1", str(registry.database).encode()):
        assert word not in everything
    assert mlporter.verify(repository).check.problems == []
    restored = sqlite_url(tmp_path / "restored.db")
    mlporter.copy(f"{repository}/@latest", restored, artifacts="reference")
    assert dump(restored) == dump(registry.url)

    monkeypatch.delenv("MLPORTER_IDENTITY")
    with pytest.raises(AccessDeniedError, match="no key"):
        mlporter.snapshots(repository)


def test_another_key_opens_nothing(registry, keys, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    mlporter.backup(registry.url, repository, encrypt=[keys])
    other = tmp_path / "other.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    monkeypatch.setenv("MLPORTER_IDENTITY", str(other))
    with pytest.raises(AccessDeniedError, match="another key"):
        mlporter.snapshots(repository)
    with pytest.raises(AccessDeniedError, match="another key"):
        mlporter.copy(f"{repository}/@latest", sqlite_url(tmp_path / "never.db"))
    assert not (tmp_path / "never.db").exists()


def test_what_is_no_key_is_refused_before_anything_is_made(registry, keys, tmp_path):
    with pytest.raises(UsageError, match="no public key"):
        mlporter.backup(registry.url, tmp_path / "repository", encrypt=["age1nonsense"])
    assert not (tmp_path / "repository").exists()
