"""What the tests of transfers share: the rich registry as a bundle, and as MLflow sees it."""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the tests without it can save
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engines import build_once, copy_sqlite
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rich_registry import RichRegistry


@pytest.fixture(scope="session")
def rich_bundle(shared_folder: Path, rich_sqlite_template: RichRegistry) -> Path:
    """The rich SQLite registry, exported. Do not touch; copy what is to be damaged."""
    import mlporter

    def build(folder: Path) -> None:
        mlporter.export(rich_sqlite_template.tracking_uri, str(folder / "bundle"))

    return build_once(shared_folder / "rich-bundle", build) / "bundle"


@pytest.fixture(scope="session")
def rich_observed(shared_folder: Path, rich_sqlite_template: RichRegistry) -> dict[str, Any]:
    """The rich SQLite registry as MLflow's client sees it (a copy, as MLflow writes)."""
    from tests.support.observed import observe

    def build(folder: Path) -> None:
        copy_sqlite(rich_sqlite_template.database_path, folder / "mlflow.db")
        seen = observe(sqlite_url(folder / "mlflow.db"))
        (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")

    folder = build_once(shared_folder / "rich-observed", build)
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
    return seen


@pytest.fixture
def target_url(request: pytest.FixtureRequest) -> str:
    """An empty database with MLflow's schema; parametrize it: sqlite, postgresql or mysql."""
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    name = {"postgresql": "mlflow_postgres_url", "mysql": "mlflow_mysql_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url
