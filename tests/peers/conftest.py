"""Two servers: one with all the troubles that users of other tools had, and one to copy it to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.peers import troubled as registries
from tests.peers.troubled import Troubled, fill
from tests.support.engines import build_once, copy_sqlite
from tests.support.mlflow_session import forget_mlflow_state, mlflow_at
from tests.support.target_server import TargetServer, target_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.execute.result import Result


@dataclass(frozen=True)
class Carried:
    """What came of one copy from server to server."""

    source: TargetServer
    target: TargetServer
    registry: Troubled
    result: Result


@pytest.fixture(scope="package")
def troubled(
    mlflow_sqlite_template: Path, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TargetServer, Troubled]]:
    """A server with default settings (files behind its proxy), filled by MLflow's own client."""

    def build(folder: Path) -> None:
        with target_server(mlflow_sqlite_template, folder / "server") as server:
            with mlflow_at(server.address):
                registry = fill(server)
            forget_mlflow_state()
            copy_sqlite(server.database, folder / "filled.db")
            shutil.copytree(server.files, folder / "files")
            (folder / "troubled.txt").write_text(registries.to_text(registry), encoding="utf-8")

    # Its files have no addresses of their own, so that any server may stand before them.
    made, folder = build_once(shared_folder / "troubled", build), tmp_path_factory.mktemp("from")
    shutil.copytree(made / "files", folder / "files")
    with target_server(made / "filled.db", folder) as server:
        yield server, registries.from_text((made / "troubled.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="package")
def target(
    mlflow_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TargetServer]:
    """A server that is empty at the start."""
    with target_server(mlflow_sqlite_template, tmp_path_factory.mktemp("to")) as server:
        yield server


@pytest.fixture(scope="package")
def carried(troubled: tuple[TargetServer, Troubled], target: TargetServer) -> Carried:
    """The first, copied to the second. Do not change either."""
    server, registry = troubled
    result = mlporter.copy(server.address, target.address, workers=8)
    return Carried(server, target, registry, result)
