"""Look at databases and folders from outside, with nobody's code but the driver's own."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query on a SQLite, PostgreSQL or MySQL database."""
    with closing(_connect(url)) as connection:
        return _fetched(connection, sql)


def _fetched(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]


def execute(url: str, *statements: str) -> None:
    """Run statements and commit."""
    with closing(_connect(url)) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


@contextmanager
def another_role(url: str, options: str = "") -> Iterator[tuple[str, str]]:
    """A role of PostgreSQL that may log in, and the address of a database with it.

    Its name is the database's: roles are those of a whole server, which tests share.
    """
    role = f"of_{rows(url, 'SELECT current_database()')[0][0]}"
    execute(url, f"CREATE ROLE {role} LOGIN {options}")
    try:
        yield role, url.replace("postgres:@", f"{role}:@").replace("postgres@", f"{role}@")
    finally:
        owned = (f"REASSIGN OWNED BY {role} TO postgres", f"DROP OWNED BY {role}")
        execute(url, *owned, f"DROP ROLE {role}")


def row_counts(url: str) -> dict[str, int]:
    """Rows of every table."""
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        "postgresql": "SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'public'::regnamespace",
        "mysql": "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    }[url.partition("://")[0].partition("+")[0]]
    with closing(_connect(url)) as connection:
        return {
            str(name): int(_fetched(connection, f'SELECT count(*) FROM "{name}"')[0][0])
            for (name,) in _fetched(connection, names)
        }


def _connect(url: str) -> Any:
    if url.startswith("sqlite:///"):
        return sqlite3.connect(url.removeprefix("sqlite:///"))
    if url.startswith("mysql"):
        from tests.support import mariadb  # noqa: PLC0415 -- for MySQL only

        # As the other two: "name" and 'text', no backslashes, and 0 is a number.
        modes = "ANSI_QUOTES,NO_AUTO_VALUE_ON_ZERO,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES"
        return mariadb.connect(url, init_command=f"SET SESSION sql_mode = '{modes}'")
    import psycopg2  # noqa: PLC0415 -- for PostgreSQL only

    return psycopg2.connect(url.replace("+psycopg2", "", 1))


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below a folder, with the content's sum: what ``find`` would list."""
    return dict(_entries(folder, folder)) if folder.exists() else {}


def _entries(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        name = path.relative_to(root).as_posix()
        if entry.is_symlink():
            yield name, f"-> {os.readlink(path)}"  # noqa: PTH115 -- as it was written
        elif entry.is_dir():
            yield f"{name}/", ""
            yield from _entries(path, root)
        elif entry.is_file():
            yield name, sha256(path)
        else:
            yield name, "special"


def dump(url: str) -> dict[str, list[str]]:
    """Every row of every table as text, sorted: equal where the databases hold the same."""
    names = row_counts(url)
    with closing(_connect(url)) as connection:
        return {
            name: sorted(repr(row) for row in _fetched(connection, f'SELECT * FROM "{name}"'))
            for name in names
        }
