"""What lies in a place: files, and what could not be listed. And how a local folder is walked."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from mlporter.artifacts.disk.presence import displayable
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import LeftOut

__all__ = ["TEMPORARY", "ArtifactFile", "FoundFile", "Listing", "Problem", "Report", "list_folder"]

TEMPORARY = ".mlporter-"
"""How the names of our unfinished files begin."""
_MLFLOW_TEMPORARY = ".artifact.uploading."
"""How the names of MLflow's unfinished uploads begin (it hides them from listings too)."""
_FOR_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a place: its path below the root (``/`` separated), bytes, and a stamp.

    The stamp changes if the file does (size and mtime in nanoseconds); "" where unknown.
    """

    path: str
    size: int
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or folder that could not be listed; `reason` and `expected` as in `LeftOut`."""

    path: str
    reason: str
    detail: str
    expected: bool = False


@dataclass(frozen=True)
class Listing:
    """The files of a place, sorted by their path's UTF-8 bytes, and what could not be listed."""

    files: tuple[FoundFile, ...] = ()
    problems: tuple[Problem, ...] = ()


def list_folder(base: str, may_read: Callable[[str], bool]) -> Listing:
    """All files below a local folder.

    Args:
        base: Its real path.
        may_read: Whether what has a real path may be read: where links lead, say.
    """
    walk = _Walk(may_read)
    walk.folder("", base, ())
    walk.files.sort(key=lambda file: file.path.encode())
    return Listing(tuple(walk.files), tuple(walk.problems))


@dataclass
class _Walk:
    """One listing of a local directory."""

    may_read: Callable[[str], bool]
    files: list[FoundFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def folder(self, path: str, real: str, above: tuple[str, ...]) -> None:
        """List a folder and those below it. `above` are the real paths that led here."""
        pending = [(path, real, above)]
        while pending:
            path, real, above = pending.pop()
            for entry in self._entries(path, real):
                name = f"{path}/{entry.name}" if path else entry.name
                below = self._entry(name, entry, (*above, real))
                if below:
                    pending.append((name, below, (*above, real)))

    def _entries(self, path: str, real: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(real) as entries:
                return list(entries)
        except OSError as error:
            self._problem(path, "unreadable", f"cannot be listed: {error.strerror or error}")
            return []

    def _entry(self, name: str, entry: os.DirEntry[str], above: tuple[str, ...]) -> str | None:
        """Note a file or a problem; the real path of a folder to go into."""
        if entry.name.startswith((TEMPORARY, _MLFLOW_TEMPORARY)):
            self._problem(name, "transient", "an unfinished upload", expected=True)
            return None
        if not safe_relative(name):
            self._problem(name, "unsafe-path", _why_unsafe(name))
            return None
        try:
            real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if not self.may_read(real):
                self._problem(name, "unsafe-path", _why_not(entry, real))
                return None
            found = entry.stat()
            if stat.S_ISDIR(found.st_mode):
                return self._subfolder(name, real, above)
            self._file(name, real, found)
        except FileNotFoundError:
            self._problem(name, "missing", "a broken link, or removed while it was being listed")
        except OSError as error:
            self._problem(name, "unreadable", f"cannot be read: {error.strerror or error}")
        return None

    def _subfolder(self, name: str, real: str, above: tuple[str, ...]) -> str | None:
        if real in above:
            self._problem(name, "unsafe-path", "a link to a folder that contains it")
            return None
        return real

    def _file(self, name: str, real: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            self._problem(name, "unreadable", "neither a file nor a folder")
        elif found.st_mode & _FOR_ALL != _FOR_ALL and not os.access(real, os.R_OK):
            self._problem(name, "unreadable", "permission denied")
        else:
            stamp = f"{found.st_size}-{found.st_mtime_ns}"
            self.files.append(FoundFile(name, found.st_size, stamp))

    def _problem(self, path: str, reason: str, detail: str, *, expected: bool = False) -> None:
        self.problems.append(Problem(displayable(path), reason, detail, expected))


def _why_not(entry: os.DirEntry[str], real: str) -> str:
    if entry.is_symlink():
        place = displayable(real)
        return f"a link that leads out of the artifact root, to {place} (--allow-root follows it)"
    return "the system's or a user's own file, not an artifact (--allow-root includes it)"


def _why_unsafe(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return "its name is not safe to use as a path on other machines"


Report = Callable[[LeftOut], None]
"""Takes what could not be copied, as it is found."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A file of the registry: whose it is, its path below the owner's root ("/" separated), bytes.

    ``sha256`` is known (hex) where the place knows it without reading the file: in a bundle.
    ``token`` is the place's own handle to open it again, and ``stamp`` changes if the file does
    (size and mtime in nanoseconds for local files), or is "" where the place cannot tell.
    """

    owner_kind: str
    owner_id: str
    path: str
    size: int
    sha256: str | None = None
    token: str = ""
    stamp: str = ""
