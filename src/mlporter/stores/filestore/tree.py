"""Folders and files of a store: listed and read, but never what lies outside of it.

A link is followed if it leads to a file in the store; one to a folder may go in circles, and what
is in the folder is read where it lies. Whatever cannot be listed or read is noted with its place,
and the rest goes on.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import displayable
from mlporter.artifacts.uris.allowed_folders import is_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.filestore.notes import Spot

__all__ = ["JUNK", "MAX_TEXT", "Entry", "Tree", "is_junk", "valid_name"]

JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitkeep", ".gitignore"})
"""Files that other programs leave in any folder."""
_JUNK_BEGINNING = "._"
_CHUNK = 1 << 16
MAX_TEXT = 256 << 20
"""Bytes of the longest file that is read whole: a parameter, a tag, a metric, a trace."""
_DEEPEST = 64
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_ONLY |= getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder, and where it really is; undecodable bytes in it are surrogates."""

    name: str
    path: str
    is_dir: bool


def valid_name(name: str, spot: Spot) -> str:
    """A file's name as valid text; it is reported if that is not how it is called."""
    try:
        name.encode()
    except UnicodeEncodeError:
        spot.lost("the name is not UTF-8; these bytes are copied as \\udc..", "not-utf8")
        return displayable(name)
    return name


def is_junk(name: str) -> bool:
    """Whether a file is what other programs leave behind."""
    return name in JUNK or name.startswith(_JUNK_BEGINNING)


@dataclass(frozen=True)
class Tree:
    """The folder of a store; `root` is its real path."""

    root: str

    def entries(self, path: str, spot: Spot) -> list[Entry]:
        """What is in a folder, sorted by name: nothing if it cannot be listed."""
        if not self._leads_in(path, spot):
            return []
        try:
            with os.scandir(path) as found:
                listed = [entry for item in found if (entry := self._entry(item, spot))]
        except FileNotFoundError:
            return []
        except OSError as error:
            spot.lost(f"cannot be listed: {error.strerror or error}")
            return []
        listed.sort(key=lambda entry: os.fsencode(entry.name))
        return listed

    def _entry(self, item: os.DirEntry[str], spot: Spot) -> Entry | None:
        if item.is_dir(follow_symlinks=False):
            return Entry(item.name, item.path, is_dir=True)
        if item.is_file(follow_symlinks=False):
            return Entry(item.name, item.path, is_dir=False)
        here = spot.at(item.name)
        if not item.is_symlink():
            here.lost("is neither a file nor a folder")
            return None
        return self._link(item, here)

    def _link(self, item: os.DirEntry[str], here: Spot) -> Entry | None:
        try:
            real = os.path.realpath(item.path, strict=True)
            found = os.stat(real)  # noqa: PTH116 -- one of thousands, and a plain text anyway
        except OSError as error:
            here.lost(f"is a link that leads nowhere: {error.strerror or error}", "unsafe-path")
            return None
        if not is_below(real, self.root):
            here.lost("is a link that leads out of the store", "unsafe-path")
            return None
        if not stat.S_ISREG(found.st_mode):
            here.lost("is a link to something else than a file", "unsafe-path")
            return None
        return Entry(item.name, real, is_dir=False)

    def folders(self, path: str, spot: Spot) -> list[Entry]:
        """The folders in a folder."""
        return [entry for entry in self.entries(path, spot) if entry.is_dir]

    def files_below(self, path: str, spot: Spot) -> list[tuple[str, str]]:
        r"""Names (``/`` separated) and paths of all files below a folder, sorted by UTF-8 bytes.

        That is how a key with a slash in it is stored. Junk is left out, and reported; so are bytes
        in names that are no UTF-8, which are spelt ``\udcff``.
        """
        found = [
            (valid_name(name, spot.at(name)), file) for name, file in self._below(path, "", spot, 0)
        ]
        found.sort(key=lambda pair: pair[0].encode())
        names = [name for name, _ in found]
        if len(set(names)) < len(names):
            spot.lost("two names are the same when spelt as text", "duplicate")
            found = list({name: (name, file) for name, file in found}.values())
        return found

    def _below(self, path: str, name: str, spot: Spot, depth: int) -> Iterator[tuple[str, str]]:
        for entry in self.entries(path, spot):
            whole = f"{name}{entry.name}"
            if not entry.is_dir:
                if is_junk(entry.name):
                    spot.at(whole).told("is not MLflow's: other programs leave it", "foreign")
                else:
                    yield whole, entry.path
            elif depth < _DEEPEST:
                yield from self._below(entry.path, f"{whole}/", spot.at(entry.name), depth + 1)
            else:
                spot.at(entry.name).lost(f"lies more than {_DEEPEST} folders deep")

    def read(self, path: str, spot: Spot) -> bytes | None:
        """The bytes of a file, or None if it cannot be read."""
        if not self._leads_in(path, spot):
            return None
        try:
            return read_bytes(path)
        except FileNotFoundError:
            spot.lost("is not there", "missing")
        except OSError as error:
            spot.lost(f"cannot be read: {error.strerror or error}")
        return None

    def _leads_in(self, path: str, spot: Spot) -> bool:
        """Whether a path that was put together, and not listed, is no link out of the store."""
        if not os.path.islink(path) or self.holds(path):  # noqa: PTH114 -- one of thousands
            return True
        spot.lost("is a link that leads out of the store", "unsafe-path")
        return False

    def holds(self, path: str) -> bool:
        """Whether what a path leads to lies in the store."""
        return is_below(os.path.realpath(path), self.root)

    def relative(self, path: str) -> str:
        """A path below the root, as valid text."""
        return displayable(os.path.relpath(path, self.root))


def read_bytes(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it cannot be read, or is longer than `MAX_TEXT`.
    """
    descriptor = os.open(path, _READ_ONLY)
    try:
        data = os.read(descriptor, _CHUNK)
        if len(data) < _CHUNK:
            return data
        parts, size = [data], len(data)
        while data := os.read(descriptor, _CHUNK << 4):
            parts.append(data)
            size += len(data)
            if size > MAX_TEXT:
                raise OSError(f"is longer than {MAX_TEXT >> 20} MiB")
        return b"".join(parts)
    finally:
        os.close(descriptor)
