"""MLflow's tables in new databases: made by its migrations once, and copied from then on.

Hundreds of tests copy into a SQLite file that is not there yet, and some into a PostgreSQL database
that holds nothing. MLflow's migrations would take a second or two each time to come to what is
always the same.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engines import Postgres, build_once

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
    if engine.dialect.name == "postgresql":
        _make_in_postgresql(really, folder.with_name("tables-in-postgresql"), engine)
        return
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


def _make_in_postgresql(really: Callable[[Engine], None], folder: Path, engine: Engine) -> None:
    """The same for a database of the tests' own server that is empty, and of its owner."""
    programs, url = Postgres.programs, engine.url
    if programs is None or url.username != "postgres" or set(url.query) != {"host"}:
        really(engine)
        return
    with engine.connect() as connection:
        if connection.exec_driver_sql(_ANYTHING).first():
            really(engine)
            return
    made = []
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def build(kept: Path) -> None:
        really(engine)
        made.append(kept)
        words = ["--no-owner", "--no-privileges", "--file", kept / "tables.sql"]
        subprocess.run([programs / "pg_dump", address, *words], check=True)

    kept = build_once(folder, build)
    if not made:
        words = ["--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]
        command = [programs / "psql", address, *words, "--file", kept / "tables.sql"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            really(engine)  # and fail as it does


_ANYTHING = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace LIMIT 1"


def _filled(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make_first(really: Callable[[Engine], None], folder: Path) -> None:
    from sqlalchemy import URL, create_engine  # noqa: PLC0415 -- MLflow has imported it
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    url = URL.create("sqlite", database=str(folder / "tables.db"))
    engine = create_engine(url, poolclass=NullPool)
    really(engine)
    engine.dispose()
