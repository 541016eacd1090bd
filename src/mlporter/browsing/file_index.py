"""Which files lie where below the artifact root: written once, then asked folder by folder."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from mlporter.artifacts.listing import ArtifactFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Entry", "FileIndex", "write_index"]

_SCHEMA = """
CREATE TABLE files (folder TEXT, name TEXT, size INTEGER, file TEXT, PRIMARY KEY (folder, name))
    WITHOUT ROWID;
CREATE TABLE folders (folder TEXT, name TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID;
"""
_BATCH = 10_000


class Entry(NamedTuple):
    """What lies in a folder: its name, and the bytes of a file, or None of a folder."""

    name: str
    size: int | None


def write_index(path: Path, files: Iterable[tuple[str, ArtifactFile]]) -> int:
    """Write the index of files, each with its path below the artifact root; returns how many."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # nobody needs it after a crash
        connection.executescript(_SCHEMA)
        rows: list[tuple[str, str, int, str]] = []
        count = 0
        for place, file in files:
            folder, _, name = place.rpartition("/")
            rows.append((folder, name, file.size, json.dumps(asdict(file))))
            count += 1
            if len(rows) >= _BATCH:
                _write(connection, rows)
                rows.clear()
        _write(connection, rows)
        connection.commit()
    finally:
        connection.close()
    return count


def _write(connection: sqlite3.Connection, rows: list[tuple[str, str, int, str]]) -> None:
    connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?)", rows)
    folders = {folder for folder, *_ in rows}
    above = {parent for folder in folders for parent in _with_parents(folder)}
    connection.executemany(
        "INSERT OR IGNORE INTO folders VALUES (?, ?)",
        [(parent, name) for parent, _, name in (path.rpartition("/") for path in above) if name],
    )


def _with_parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


class FileIndex:
    """An index that was written. Safe to ask from several threads."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )
        self._lock = Lock()

    def entries(self, folder: str) -> list[Entry]:
        """What lies in a folder, by name; nothing where there is no such folder."""
        with self._lock:
            found = self._connection.execute(
                "SELECT name, NULL FROM folders WHERE folder = ?1 "
                "UNION ALL SELECT name, size FROM files WHERE folder = ?1 ORDER BY name",
                (folder,),
            ).fetchall()
        return [Entry(*row) for row in found]

    def file(self, path: str) -> ArtifactFile | None:
        """The file at a path, if there is one."""
        folder, _, name = path.rpartition("/")
        with self._lock:
            found = self._connection.execute(
                "SELECT file FROM files WHERE folder = ? AND name = ?", (folder, name)
            ).fetchone()
        return None if found is None else ArtifactFile(**json.loads(found[0]))
