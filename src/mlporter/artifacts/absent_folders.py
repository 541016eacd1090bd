"""Folders that are not there, known by one look at the folder that they would lie in.

Most runs log no file, and have no folder: to ask for each of them takes longer than to list the
folder of their experiment once. What is there is looked at by itself.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_left
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
    """A folder: what it is called, and the hashes of the names in it, sorted.

    Names themselves take ten times as much memory. Of two with the same hash, the one that is not
    there is taken for one that may be.
    """

    shown: str
    hashes: array[int]

    def may_have(self, name: str) -> bool:
        """Whether the name may be there. Some file systems take any case of it for the same."""
        wanted = hash(name.casefold())
        at = bisect_left(self.hashes, wanted)
        return at < len(self.hashes) and self.hashes[at] == wanted


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
        if seen is None or seen.may_have(name):
            return None
        return f"{seen.shown}/{name}/{last}"

    def _look(self, address: str) -> _Seen | None:
        place = self._open(address)
        if place is None:
            return None
        hashes = array("q")
        try:
            with os.scandir(place.root) as entries:
                for entry in entries:
                    hashes.append(hash(entry.name.casefold()))
                    if len(hashes) > self._room:
                        return None
        except (FileNotFoundError, NotADirectoryError):
            del hashes[:]
        except OSError:
            return None
        self._room -= len(hashes)
        return _Seen(place.uri, array("q", sorted(hashes)))
