"""Registries with models that load, to promote from and to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.engines import Postgres
    from tests.support.plain_registry import PlainRegistry
    from tests.support.target_server import TargetServer


@pytest.fixture
def dev(plain_sqlite: PlainRegistry) -> PlainRegistry:
    """`plain-model` with versions 1 to 3; 3 is the candidate, with a metric and a tag."""
    client = plain_sqlite.client()
    with mlflow_at(plain_sqlite.tracking_uri):
        client.log_metric(plain_sqlite.model_run_id, "rmse", 0.5, step=1)
        client.log_metric(plain_sqlite.model_run_id, "rmse", 0.15, step=2)
        client.log_text(plain_sqlite.model_run_id, "a note", "notes/a.txt")
        client.set_registered_model_alias("plain-model", "candidate", "3")
        client.set_model_version_tag("plain-model", "3", "validated", "yes")
    return plain_sqlite


@pytest.fixture(params=["sqlite", "postgresql", "server"])
def prod(
    request: pytest.FixtureRequest, mlflow_sqlite_template: Path, tmp_path: Path
) -> Iterator[str]:
    """An empty place to promote to, of each kind."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "prod.db")
    elif request.param == "server":
        server: TargetServer = request.getfixturevalue("server")
        yield server.address
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_mlflow_database()
        yield url
        postgres.drop(url)


@pytest.fixture
def root(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Where a place keeps files, as `mlporter.promote` wants it."""

    def of(address: str) -> dict[str, str]:
        return {} if address.startswith("http") else {"artifact_root": str(tmp_path / "root")}

    return of
