"""A server that answers as told, and clients of it that do not wait long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_server import FaultyServer, faulty_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.server.client import Client


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that answers as told."""
    with faulty_server() as server:
        yield server


@pytest.fixture
def client(faulty: FaultyServer) -> Iterator[Client]:
    """A client of `faulty` that gives up after some seconds."""
    from mlporter.stores.server.client import Client  # noqa: PLC0415 -- imports MLflow

    client = Client(faulty.address, retry_time=20)
    yield client
    client.close()
