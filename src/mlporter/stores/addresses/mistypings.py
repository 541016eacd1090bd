"""What people type in place of an address, and what they mean."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

from mlporter.artifacts.disk.presence import is_file, is_folder, is_seen
from mlporter.bundle.folder.layout import MANIFEST
from mlporter.redaction import redact_address
from mlporter.stores.addresses.file_store_folders import stores_in

__all__ = ["folder_hint", "is_sqlite_file", "mistyped", "places_in"]

_SQLITE_NAMES = (".db", ".sqlite", ".sqlite3")
_SQLITE_HEAD = b"SQLite format 3\0"
_SCHEMES = "https?|sqlite|postgres(?:ql)?|mysql|mariadb"
_ONE_SLASH = re.compile(rf"((?:{_SCHEMES})(?:\+\w+)?):/?(?!/)(.*)", re.IGNORECASE | re.DOTALL)
"""A scheme that people know, and one slash behind it or none."""
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])|\[[0-9A-Fa-f:.]+\])"
"""Of two characters at least: ``C:5`` is a path on another system."""
_HOST_AND_PORT = re.compile(rf"(?:[^@/\s]+@)?{_HOST}:\d{{1,5}}(?:/\S*)?")
_HOST_NAME = re.compile(
    rf"(?:[^@/\s]+@)?(?:localhost|\d+(?:\.\d+){{3}}|{_HOST}\.[a-z]{{2,}})(?:/\S*)?"
)
_USER_AND_HOST = re.compile(rf"[^@/\s:]{{2,}}:\S+@{_HOST}(?::\d+)?(?:/\S*)?")
_DATABASE_PORTS = {"5432": "postgresql", "3306": "mysql+pymysql"}
_FEW = 3
_NO_FOLDER = "is a file, not a bundle directory"
_WHAT = "a place is a folder, a database or a server"
_INSIDE = ("runs:/", "models:/", "mlflow-artifacts:/", "dbfs:/")
_INSIDE_HINT = "name the database or the server, and choose with --run or --model"


def mistyped(text: str) -> tuple[str, str] | None:
    """What is wrong with a text that is no address, and what it should be; None if nothing is.

    Only for a text without ``://``. A folder of that name is one, whatever it looks like.

    >>> mistyped("localhost:5000")
    ('has no scheme', 'http://localhost:5000')
    >>> mistyped("sqlite:mlflow.db")
    ('needs slashes after the scheme', 'sqlite:///mlflow.db')

    Raises:
        UnreachableError: it may not be looked at.
    """
    path = Path(text)
    if "\0" in text:
        return _of_nothing(text, path)
    if is_folder(path):
        return None
    if is_file(path):
        is_database = is_sqlite_file(path) or path.suffix.lower() in _SQLITE_NAMES
        return _NO_FOLDER, _sqlite_hint(text) if is_database else _WHAT
    return _of_nothing(text, path)


def _of_nothing(text: str, path: Path) -> tuple[str, str] | None:
    """The same where no file and no folder has that name."""
    if found := _ONE_SLASH.fullmatch(text):
        return "needs slashes after the scheme", _with_slashes(text, found[1].lower(), found[2])
    if text.startswith(_INSIDE):
        return "is something inside a registry, not a registry", _INSIDE_HINT
    if path.suffix.lower() in _SQLITE_NAMES:
        return "is no folder", _sqlite_hint(text)
    if _HOST_AND_PORT.fullmatch(text) or _USER_AND_HOST.fullmatch(text):
        return "has no scheme", _shown(f"{_scheme_for(text)}://{text}")
    return None


def _with_slashes(text: str, scheme: str, rest: str) -> str:
    if scheme.startswith("sqlite"):
        absolute = text.partition(":")[2].startswith("/") and not is_seen(rest)
        return f"sqlite:///{'/' if absolute else ''}{rest}"
    return _shown(f"{scheme}://{rest}")


def _shown(address: str) -> str:
    return redact_address(address)


def _scheme_for(text: str) -> str:
    port = text.rpartition("@")[2].partition("/")[0].rpartition(":")[2]
    return _DATABASE_PORTS.get(port, "http")


def _sqlite_hint(text: str) -> str:
    return f"the address of an SQLite database is sqlite:///{text}"


def is_sqlite_file(path: Path) -> bool:
    """Whether a file begins as an SQLite database does."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_HEAD)) == _SQLITE_HEAD
    except OSError:
        return False


def places_in(folder: Path) -> list[str]:
    """The addresses of what a folder holds, where it is none of these itself.

    File stores, SQLite databases and bundles directly in it, sorted.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    stores = set(stores_in(folder))
    found = [str(entry) for entry in entries if entry.name in stores or is_seen(entry / MANIFEST)]
    databases = [
        f"sqlite:///{entry}"
        for entry in entries
        if entry.suffix.lower() in _SQLITE_NAMES and is_sqlite_file(entry)
    ]
    return databases + found


def folder_hint(folder: Path) -> str | None:
    """What to do where a folder that was named is no place; None if nothing helps.

    It holds one, or is not there and looks like a server's name.
    """
    if found := places_in(folder):
        more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
        places = ", ".join(quote(place) for place in found[:_FEW])
        return f"it holds {places}{more}: name {'it' if len(found) == 1 else 'one of them'}"
    text = str(folder)
    if not is_seen(folder) and _HOST_NAME.fullmatch(text):
        return _shown(f"a server's address begins with its scheme: http://{text}")
    return None
