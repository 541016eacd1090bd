"""Sets and maps larger than memory: a private SQLite file that goes away with its user."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from mlporter.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Scratch"]


class Scratch:
    """A temporary database on disk, safe for several threads. `close` frees its space."""

    def __init__(self, *statements: str) -> None:
        """Create it with these tables."""
        # "" is a private file in the system's temporary folder, written when the cache is full.
        self._base = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            "PRAGMA cache_size=-4096",
            *statements,
        ):
            self._base.execute(statement)
        self._base.execute("BEGIN")

    def run(self, statement: str, *values: object) -> None:
        """Carry out one statement."""
        with self._lock, _disk_errors():
            self._base.execute(statement, values)

    def run_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Carry out one statement for every row."""
        with self._lock, _disk_errors():
            self._base.executemany(statement, rows)

    def one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        with self._lock, _disk_errors():
            row: tuple[Any, ...] | None = self._base.execute(query, values).fetchone()
            return row

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they are asked for; for one thread, after all writing."""
        with _disk_errors():
            yield from self._base.execute(query, values)

    def close(self) -> None:
        """Close and remove it."""
        self._base.close()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "free some space, or point SQLITE_TMPDIR to a folder that has some"
        message = f"cannot write temporary data: {error}"
        raise UnreachableError(message, hint=hint) from error
