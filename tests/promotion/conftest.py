"""Registries with models that load, to promote from and to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import forget_artifact_places
from tests.support.engines import build_once
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.plain_registry import from_json, to_json
from tests.support.rich_registry import copy_with_artifacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.engines import Postgres
    from tests.support.plain_registry import PlainRegistry
    from tests.support.target_server import TargetServer


@pytest.fixture(scope="session")
def dev_template(shared_folder: Path, plain_sqlite_template: PlainRegistry) -> PlainRegistry:
    """The registry that the others are copied from. Do not touch."""

    def build(folder: Path) -> None:
        plain = copy_with_artifacts(plain_sqlite_template, folder)
        client = plain.client()
        with mlflow_at(plain.tracking_uri):
            client.log_metric(plain.model_run_id, "rmse", 0.5, step=1)
            client.log_metric(plain.model_run_id, "rmse", 0.15, step=2)
            client.log_text(plain.model_run_id, "a note", "notes/a.txt")
            client.set_registered_model_alias("plain-model", "candidate", "3")
            client.set_model_version_tag("plain-model", "3", "validated", "yes")
        (folder / "dev.json").write_text(to_json(plain), encoding="utf-8")

    folder = build_once(shared_folder / "dev", build)
    return from_json((folder / "dev.json").read_text(encoding="utf-8"))


@pytest.fixture
def dev(dev_template: PlainRegistry, tmp_path: Path) -> PlainRegistry:
    """`plain-model` with versions 1 to 3; 3 is the candidate, with a metric and a tag."""
    forget_artifact_places()
    return copy_with_artifacts(dev_template, tmp_path / "plain")


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
