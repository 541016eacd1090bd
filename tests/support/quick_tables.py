"""MLflow's tables in new databases: made by its migrations once, and copied from then on.

Hundreds of tests copy into a file that is not there yet, and MLflow's migrations would take a
second each time to come to what is always the same. So do those who copy into an empty database of
PostgreSQL. It holds for the processes that tests start, too (see `forks`).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engines import POSTGRESQL, build_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


SHARED = "MLPORTER_TESTS_SHARED"
"""The variable that names the folder that all workers share."""


def make_tables_once() -> None:
    """From now on, in this process, if MLflow is there: keep them, and copy what was kept."""
    utils: Any = sys.modules.get("mlflow.store.db.utils")
    if utils is None or isinstance(utils._initialize_tables, partial):
        return
    utils._initialize_tables = partial(_make, utils._initialize_tables)
    # Every store that is opened asks for it, and every script of the migrations is run for it.
    utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)


def _make(really: Callable[[Engine], None], engine: Engine) -> None:
    if SHARED not in os.environ:  # a process that was given hardly any
        really(engine)
        return
    shared = Path(os.environ[SHARED])
    path, script = Path(engine.url.database or ""), shared / POSTGRESQL
    if engine.dialect.name == "postgresql" and script.exists() and _is_empty(engine):
        with engine.connect().execution_options(no_parameters=True) as connection:
            connection.exec_driver_sql(script.read_text(encoding="utf-8"))
            connection.commit()
            connection.invalidate()  # The script leaves settings behind.
    elif engine.dialect.name == "sqlite" and path.is_absolute() and not _filled(path):
        _copy(build_once(shared / "tables", partial(_make_first, really)), path, engine, really)
    else:
        really(engine)


def _copy(folder: Path, new: Path, engine: Engine, really: Callable[[Engine], None]) -> None:
    made = folder / "tables.db"
    try:
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(new)) as target:
            source.backup(target)
    except sqlite3.Error:
        really(engine)  # and fail as it does


def _is_empty(engine: Engine) -> bool:
    """Whether it is, and the address names no other schema than the usual one."""
    if "options" in engine.url.query:
        return False
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
        return found.first() is None


def _filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make_first(really: Callable[[Engine], None], folder: Path) -> None:
    from sqlalchemy import URL, create_engine  # noqa: PLC0415 -- MLflow has imported it
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    url = URL.create("sqlite", database=str(folder / "tables.db"))
    engine = create_engine(url, poolclass=NullPool)
    really(engine)
    engine.dispose()
