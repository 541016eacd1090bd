"""What many tests of servers begin with."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.conftest import forget_artifact_places
from tests.support.mlflow_session import sqlite_url
from tests.support.rich_registry import copy_with_artifacts
from tests.support.target_server import Beginnings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.plain_registry import PlainRegistry
    from tests.support.target_server import TargetServer


@pytest.fixture(scope="session")
def copied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the registry is that was copied: it is known by its address."""
    return tmp_path_factory.mktemp("copied")


@pytest.fixture
def copied(
    plain_sqlite_template: PlainRegistry, copied_folder: Path, server: TargetServer
) -> PlainRegistry:
    """The plain registry, which was copied to `server` with all that it has."""
    place = copied_folder / "plain"

    def copy() -> None:
        shutil.rmtree(place, ignore_errors=True)  # of a time when that failed
        source = copy_with_artifacts(plain_sqlite_template, place)
        assert mlporter.copy(source.tracking_uri, server.address).exit_code == 0

    forget_artifact_places()
    Beginnings(copied_folder).begin("kept", copy, server, folders=[place])
    url, root = sqlite_url(place / "mlflow.db"), str(place / "artifacts")
    return dataclasses.replace(plain_sqlite_template, tracking_uri=url, artifact_root=root)
