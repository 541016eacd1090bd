"""A server to import into: one for all tests of a worker, emptied for each."""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the tests without it can save
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.target_server import TargetServer


@pytest.fixture(scope="session")
def running_server(
    mlflow_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TargetServer]:
    """The server. Tests want `server`."""
    from tests.support.target_server import target_server

    with target_server(mlflow_sqlite_template, tmp_path_factory.mktemp("target")) as server:
        yield server


@pytest.fixture
def server(running_server: TargetServer) -> TargetServer:
    """An empty server."""
    running_server.reset()
    return running_server


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to servers from now on: method and path of each request."""
    from mlporter.stores.rest.client import Client

    sent: list[str] = []
    ways = (("_json", None), ("upload", "PUT"), ("send", "POST"), ("post_form", "POST"))
    for name, method in ways:
        really = getattr(Client, name)

        def recording(self, *args, _really=really, _method=method, **options):
            verb, path = (args[0], args[1]) if _method is None else (_method, args[0])
            if verb != "GET" and not path.endswith("/search"):
                sent.append(f"{verb} {path}")
            return _really(self, *args, **options)

        monkeypatch.setattr(Client, name, recording)
    return sent
