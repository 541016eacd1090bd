"""Servers: one that answers as told, and MLflow's own in front of the rich registry."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.support.faulty_server import FaultyServer, faulty_server
from tests.support.served import Served, served_rich, served_rich_sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.rest.client import Client
    from tests.support.engines import Postgres
    from tests.support.rich_registry import RichRegistry


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that answers as told."""
    with faulty_server() as server:
        yield server


@pytest.fixture
def client(faulty: FaultyServer) -> Iterator[Client]:
    """A client of `faulty` that gives up after some seconds."""
    from mlporter.stores.rest.client import Client  # noqa: PLC0415 -- imports MLflow

    client = Client(faulty.address, retry_time=20)
    yield client
    client.close()


@pytest.fixture(scope="module")
def served(
    rich_sqlite_template: RichRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The rich registry behind a server on SQLite. Do not change it."""
    with served_rich_sqlite(rich_sqlite_template, tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module")
def served_postgres(
    rich_postgres_template: RichRegistry,
    postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """The rich registry behind a server on PostgreSQL. Do not change it."""
    url = postgres.new_database("rich")
    rich = dataclasses.replace(rich_postgres_template, tracking_uri=url)
    with served_rich(rich, tmp_path_factory.mktemp("served-pg") / "files") as server:
        yield server
    postgres.drop(url)
