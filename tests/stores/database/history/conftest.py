# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the many tests without it can save
from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import build_once
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def old_schemas(shared_folder: Path) -> Path:
    """A folder with an empty SQLite database at each revision, ``<revision>.db``. Copy them."""
    from tests.support.here import NEWEST
    from tests.support.old_schemas import OLDER, make_schema, upgrade

    def build(folder: Path) -> None:
        path = folder / "growing.db"
        make_schema(sqlite_url(path), OLDER[0])
        for revision in (*OLDER, NEWEST):
            upgrade(sqlite_url(path), revision)
            shutil.copy(path, folder / f"{revision}.db")

    return build_once(shared_folder / "old-schemas", build)
