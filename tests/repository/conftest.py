"""A registry with files large and small, and a repository with two snapshots of it."""

from __future__ import annotations

import shutil

import pytest

import mlporter
from tests.repository.registry import SmallRegistry


@pytest.fixture
def registry(mlflow_sqlite_template, tmp_path):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for number in range(3):
        files = {"small.txt": b"small %d" % number, "big.bin": b"%d" % number * 300_000}
        made.add_run(f"{number:032x}", 4, files)
    return made


@pytest.fixture(scope="module")
def two_snapshots(mlflow_sqlite_template, tmp_path_factory):
    """Registry and repository, made once; tests take copies of the repository."""
    place = tmp_path_factory.mktemp("two")
    made = SmallRegistry.make(mlflow_sqlite_template, place / "registry")
    for number in range(3):
        files = {"small.txt": b"small %d" % number, "big.bin": b"%d" % number * 300_000}
        made.add_run(f"{number:032x}", 4, files)
    mlporter.backup(made.url, place / "repository", tags=["first"])
    made.write(f"{0:032x}", "small.txt", b"another")
    made.write(f"{0:032x}", "big.bin", b"another" * 50_000)
    mlporter.backup(made.url, place / "repository")
    return made, place / "repository"


@pytest.fixture
def repository(two_snapshots, tmp_path):
    """A copy of it, to be damaged or pruned."""
    copy = tmp_path / "repository"
    shutil.copytree(two_snapshots[1], copy)
    return copy
