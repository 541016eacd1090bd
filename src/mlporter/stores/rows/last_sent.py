"""What was last sent from one place to another: digests of rows, in a file of the user's.

One folder for each two places: ``base.sqlite`` and a lock, for the user alone. It holds values of
small fields, but none that is secret; who loses it loses nothing but the knowledge of who changed
what.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_state_path

from mlporter.errors import StateInUseError, UnreachableError
from mlporter.stores.addresses.same_place import identity_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from mlporter.stores.addresses.address import Address

__all__ = ["Group", "LastSent", "folder_for"]


@dataclass(frozen=True)
class Group:
    """Rows of a table that are remembered together, such as the tags of a run.

    Attributes:
        columns: The columns whose digests are there.
        rows: One line a row: the digest of its key, and then of each column.
    """

    columns: tuple[str, ...]
    rows: NDArray[np.uint64]

    def row(self, key: int) -> dict[str, int] | None:
        """The digests, by column, of the row with a key (its digest), or None."""
        found = np.flatnonzero(self.rows[:, 0] == np.uint64(key))
        if not len(found):
            return None
        return dict(zip(self.columns, self.rows[found[0], 1:].tolist(), strict=True))


_json = json.JSONEncoder(separators=(",", ":")).encode
"""A text may hold halves of characters, which SQLite does not take: so it stays ASCII."""

_FORMAT = 1
"""Of the file, and of how values are digested: another one is as good as none."""

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS shapes (shape INTEGER PRIMARY KEY, columns TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS digests (
    kind TEXT, name TEXT, shape INTEGER, content BLOB, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS small_values (
    kind TEXT, name TEXT, content TEXT, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (
    kind TEXT, name TEXT, value TEXT, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
"""


def folder_for(source: Address, target: Address) -> Path:
    """The folder that is used for two places unless one is named."""
    places = f"{identity_text(source)}\n{identity_text(target)}"
    digest = sha256(places.encode()).hexdigest()[:20]
    return user_state_path("mlporter", appauthor=False) / "sent" / digest


class LastSent:
    """`plan.three_sides.sent.base.Base` in a folder. `commit` keeps everything, or nothing.

    Attributes:
        folder: Where it is.
        is_known: Whether anything was ever sent, as far as is known.
    """

    def __init__(self, folder: Path, source: str = "", target: str = "") -> None:
        """Lock and open it; it is made if it is not there.

        Args:
            folder: The folder.
            source: The source, for people who look into it; redacted.
            target: The target, likewise.

        Raises:
            StateInUseError: another process uses it.
            UnreachableError: it cannot be written.
        """
        self.folder = folder
        self._shapes: dict[tuple[str, ...], int] = {}
        self._is_new = not (folder / "base.sqlite").exists()
        self._made = [one for one in (folder, *folder.parents) if not one.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = FileLock(folder / "lock", thread_local=False)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StateInUseError(
                "another mlporter is running between these two places",
                subject=str(folder),
                hint="wait for it, or stop it",
            ) from error
        except OSError as error:
            raise UnreachableError(
                f"cannot keep what was sent: {error.strerror or error}",
                subject=str(folder),
                hint="name another folder with --state",
            ) from error
        try:
            with self._errors():
                self._open(source, target)
        except UnreachableError:
            self._leave()
            raise

    def _open(self, source: str, target: str) -> None:
        self._database = _connected(self.folder / "base.sqlite")
        try:
            self._database.executescript(_SCHEMA)
            about = dict(self._database.execute("SELECT name, value FROM about"))
        except sqlite3.Error:
            self._database.close()
            raise
        self.is_known = "sent" in about
        if about.get("format", str(_FORMAT)) != str(_FORMAT):
            self.clear()
        for name, value in (("format", str(_FORMAT)), ("source", source), ("target", target)):
            self._say(name, value)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UnreachableError(
                f"cannot read what was last sent: {error}",
                subject=str(self.folder),
                hint=(
                    "name another folder with --state, or remove this one: without it, "
                    "differences are conflicts"
                ),
            ) from error

    def _say(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    def clear(self) -> None:
        """Forget everything."""
        self._shapes.clear()
        for table in ("digests", "small_values", "notes", "shapes"):
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 -- a word of ours
        self._database.execute("DELETE FROM about WHERE name = 'sent'")
        self.is_known = False

    # --- Rows -------------------------------------------------------------------------------------

    def groups(self, table: str, names: Collection[str]) -> Mapping[str, Group]:
        """Some groups of rows of a table, of those that there are."""
        with self._errors():
            rows = self._database.execute(
                "SELECT name, columns, content FROM digests JOIN shapes USING (shape) "
                "WHERE kind = ? AND name IN (SELECT value FROM json_each(?))",
                (table, json.dumps(list(names))),
            ).fetchall()
        return {name: _group(columns, content) for name, columns, content in rows}

    def names(self, table: str) -> Iterator[str]:
        """The names of all groups of a table, sorted."""
        with self._errors():
            for (name,) in self._database.execute(
                "SELECT name FROM digests WHERE kind = ? ORDER BY name", (table,)
            ):
                yield name

    def values(self, table: str, name: str) -> dict[str, dict[str, object]]:
        """What was kept of the values of a group, by the digests of its keys."""
        with self._errors():
            query = "SELECT content FROM small_values WHERE kind = ? AND name = ?"
            found = self._database.execute(query, (table, name)).fetchone()
        return {} if found is None else _values(found[0])

    def put(
        self,
        table: str,
        columns: tuple[str, ...],
        name: str,
        rows: bytes,
        values: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """Remember a group instead of what was remembered of it.

        Args:
            table: Which table's.
            columns: The columns that there are digests of.
            name: The group's.
            rows: Its digests.
            values: What is kept of its values; None leaves those that there are.
        """
        self.put_all(table, columns, [(name, rows, values)])

    def put_all(
        self,
        table: str,
        columns: tuple[str, ...],
        groups: Iterable[tuple[str, bytes, Mapping[str, Mapping[str, object]] | None]],
    ) -> None:
        """Remember some groups instead of what was remembered of them; see `put`."""
        groups = list(groups)
        if not groups:
            return
        with self._errors():
            shape = self._shape(columns)
            self._database.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)",
                ((table, name, shape, rows) for name, rows, _ in groups),
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO small_values VALUES (?, ?, ?)",
                ((table, name, _json(values)) for name, _, values in groups if values),
            )
            none = [name for name, _, values in groups if values is not None and not values]
            self._forget("small_values", table, none)

    def forget(self, table: str, names: Collection[str]) -> None:
        """Remember some groups no more."""
        with self._errors():
            for kept in ("digests", "small_values"):
                self._forget(kept, table, names)

    def _forget(self, kept: str, table: str, names: Collection[str]) -> None:
        query = f"DELETE FROM {kept} WHERE kind = ? AND name = ?"  # noqa: S608 -- a word of ours
        self._database.executemany(query, [(table, name) for name in names])

    def _shape(self, columns: tuple[str, ...]) -> int:
        if columns not in self._shapes:
            self._shapes[columns] = self._shape_of(columns)
        return self._shapes[columns]

    def _shape_of(self, columns: tuple[str, ...]) -> int:
        text = json.dumps(columns)
        self._database.execute("INSERT OR IGNORE INTO shapes (columns) VALUES (?)", (text,))
        found = self._database.execute("SELECT shape FROM shapes WHERE columns = ?", (text,))
        return int(found.fetchone()[0])

    # --- Small things -----------------------------------------------------------------------------

    def noted(self, kind: str) -> dict[str, str]:
        """What was noted of a kind, by name."""
        with self._errors():
            query = "SELECT name, value FROM notes WHERE kind = ?"
            return dict(self._database.execute(query, (kind,)))

    def note(self, kind: str, values: Mapping[str, str]) -> None:
        """Note something instead of all that was noted of its kind."""
        with self._errors():
            self._database.execute("DELETE FROM notes WHERE kind = ?", (kind,))
            self._database.executemany(
                "INSERT INTO notes VALUES (?, ?, ?)", [(kind, *item) for item in values.items()]
            )

    def take_as_known(self) -> None:
        """What is remembered next was sent, though not by a transfer of ours."""
        self.is_known = True

    # --- The end ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Keep what was remembered; the transfer is done."""
        with self._errors():
            self._say("sent", "yes")
            self._database.execute("COMMIT")
            self._database.execute("BEGIN IMMEDIATE")
        self.is_known, self._is_new = True, False

    def close(self) -> None:
        """Drop what was not committed, and let others have it."""
        with suppress(sqlite3.Error):
            self._database.execute("ROLLBACK")
        self._database.close()
        self._leave()

    def _leave(self) -> None:
        """Let others have it; where nothing was kept and nothing was there, nothing stays."""
        if self._is_new:
            with suppress(OSError):
                (self.folder / "base.sqlite").unlink(missing_ok=True)
                # While it is held: whoever comes now makes another.
                (self.folder / "lock").unlink(missing_ok=True)
                for one in self._made:
                    one.rmdir()
        self._lock.release()


def _connected(path: Path) -> sqlite3.Connection:
    _make_private(path)
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _make_private(path: Path) -> None:
    """Let nobody else read a file that is made; what cannot be opened, SQLite tells."""
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)


def _values(text: str) -> dict[str, dict[str, object]]:
    """What was kept of a group; a text that is damaged says nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _group(columns: str, content: bytes) -> Group:
    names = tuple(json.loads(columns))
    rows = np.frombuffer(content, np.uint64).reshape(-1, len(names) + 1)
    return Group(names, rows)
