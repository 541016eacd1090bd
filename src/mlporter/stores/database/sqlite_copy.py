"""A copy of an SQLite database to read from, where reading would hold up those who write.

Without a write-ahead log (and MLflow uses none) nobody can commit while somebody reads: MLflow
waits for 20 seconds, and then the training job fails with "database is locked". An export reads
for longer than that. Copying the file takes a second a gigabyte, so the copy is what is read.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from mlporter.stores.database import sqlite

__all__ = ["DatabaseCopy"]

_log = logging.getLogger(__name__)

_PAGES = 20_000
"""Pages that are copied at a time; a signal is heeded in between."""


class DatabaseCopy:
    """A private copy, as of one moment, in the system's temporary folder.

    Attributes:
        path: Where it is, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        """Use `of`."""
        self._folder = folder
        self.path = folder / "mlflow.db"

    @classmethod
    def of(cls, path: Path, subject: str) -> DatabaseCopy | None:
        """Copy a database; None where reading it disturbs nobody, or there is no room.

        Raises:
            UnreachableError: another process holds a lock on it.
            RefusedError: it cannot be read.
        """
        if not sqlite.needs_copy(path) or not _has_room(path):
            return None
        copy = cls(Path(tempfile.mkdtemp(prefix="mlporter-")))
        try:
            copy.fill(path)
        except sqlite3.DatabaseError as error:
            copy.remove()
            if "full" in str(error):
                return None
            raise sqlite.why_unreadable(path, subject, str(error)) from error
        except BaseException:
            copy.remove()
            raise
        return copy

    def fill(self, path: Path) -> None:
        """Copy all pages under one lock: those who write wait for as long as this takes."""
        with closing(sqlite.plain_reader(path)) as source:
            # The read holds the lock, and so no page can change while they are copied.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(self.path, isolation_level=None)) as target:
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target, pages=_PAGES, progress=lambda *_: None)

    def remove(self) -> None:
        """Remove it; never fails."""
        with suppress(OSError):
            shutil.rmtree(self._folder)


def _has_room(path: Path) -> bool:
    folder = tempfile.gettempdir()
    size, free = path.stat().st_size, shutil.disk_usage(folder).free
    if size < free:
        return True
    _log.warning(
        "no room in %s for a copy of %s: who writes to it waits until it is read", folder, path
    )
    return False
