"""MLflow's tables in new SQLite files: made by its migrations once, and copied from then on.

Hundreds of tests copy into a file that is not there yet, and MLflow's migrations would take a
second each time to come to what is always the same.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engines import build_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


def make_tables_once(shared: Path) -> None:
    """From now on, if MLflow is there: keep what it makes in a folder that all workers share."""
    utils: Any = sys.modules.get("mlflow.store.db.utils")
    if utils is None or isinstance(utils._initialize_tables, partial):
        return
    utils._initialize_tables = partial(_make, utils._initialize_tables, shared / "tables")
    # Every store that is opened asks for it, and every script of the migrations is run for it.
    utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)


def _make(really: Callable[[Engine], None], folder: Path, engine: Engine) -> None:
    new = engine.url.database or ""
    path = Path(new)
    if engine.dialect.name != "sqlite" or not path.is_absolute() or _filled(path):
        really(engine)
        return
    made = build_once(folder, partial(_make_first, really)) / "tables.db"
    try:
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(new)) as target:
            source.backup(target)
    except sqlite3.Error:
        really(engine)  # and fail as it does


def _filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make_first(really: Callable[[Engine], None], folder: Path) -> None:
    from sqlalchemy import URL, create_engine  # noqa: PLC0415 -- MLflow has imported it
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    url = URL.create("sqlite", database=str(folder / "tables.db"))
    engine = create_engine(url, poolclass=NullPool)
    really(engine)
    engine.dispose()
