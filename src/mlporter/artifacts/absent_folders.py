"""Folders that are not there, known by one look at the folder that they would lie in.

Most runs log no file, and have no folder: to ask for each of them takes longer than to list the
folder of their experiment once. What is there is looked at by itself.
"""

from __future__ import annotations

import os
import re
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.artifacts.places import LocalPlace

__all__ = ["AbsentFolders"]

_IN_A_FOLDER = re.compile(r"(.+)/([0-9A-Za-z_-]+)/([0-9A-Za-z_-]+)", re.DOTALL)
"""The address of a folder in another one, with names that are the same however it is written."""
_MOST = 200_000
"""Names that are remembered, of all folders; those of more are not listed."""


class _Seen(NamedTuple):
    """A folder: what it is called, and the names in it."""

    shown: str
    names: frozenset[str]


class AbsentFolders:
    """Which folders are not there. Thread-safe.

    Args:
        open_folder: The folder of this machine that an address names and that may be listed;
            None where there is no such.
    """

    def __init__(self, open_folder: Callable[[str], LocalPlace | None]) -> None:
        self._open = open_folder
        self._lock = Lock()
        self._seen: dict[str, _Seen | None] = {}
        self._room = _MOST

    def absent(self, address: str) -> str | None:
        """What a place is called that is surely not there; None if it may be.

        Args:
            address: Its address, to which the URI map was applied.
        """
        found = _IN_A_FOLDER.fullmatch(address)
        if found is None:
            return None
        above, name, last = found.groups()
        with self._lock:
            if above not in self._seen:
                self._seen[above] = self._look(above)
            seen = self._seen[above]
        # There are file systems that take names for the same whatever their case.
        if seen is None or name.casefold() in seen.names:
            return None
        return f"{seen.shown}/{name}/{last}"

    def _look(self, address: str) -> _Seen | None:
        place = self._open(address)
        if place is None:
            return None
        names: list[str] = []
        try:
            with os.scandir(place.root) as entries:
                for entry in entries:
                    names.append(entry.name.casefold())
                    if len(names) > self._room:
                        return None
        except (FileNotFoundError, NotADirectoryError):
            names.clear()
        except OSError:
            return None
        self._room -= len(names)
        return _Seen(place.uri, frozenset(names))
