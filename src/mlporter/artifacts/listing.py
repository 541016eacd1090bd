"""What lies in a place, one after another in order. And how a local folder is walked."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mlporter.artifacts.disk.presence import displayable
from mlporter.artifacts.disk.sorting import in_order
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import LeftOut
from mlporter.stopping import check

__all__ = [
    "TEMPORARY",
    "ArtifactFile",
    "Folder",
    "Found",
    "FoundFile",
    "Problem",
    "Report",
    "files_of",
    "list_folder",
    "listed_inside",
    "order_of",
    "walk",
]

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


Found = FoundFile | Problem
"""What a listing consists of: files by their path's UTF-8 bytes; problems anywhere between them."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on the way of a listing: its path below the root, and where it really is.

    `above` are the real paths that led to it.
    """

    path: str
    real: str = ""
    above: tuple[str, ...] = ()


def files_of(found: Iterable[Found]) -> Iterator[FoundFile]:
    """The files of a listing, without its problems."""
    return (item for item in found if isinstance(item, FoundFile))


def order_of(name: str, *, is_folder: bool) -> bytes:
    """By what the entries of a folder are sorted, so that all files below are sorted by path.

    >>> sorted([order_of("a", is_folder=True), order_of("a.b", is_folder=False)])
    [b'a.b', b'a/']
    """
    return name.encode("utf-8", "surrogatepass") + (b"/" if is_folder else b"")


def walk(start: Folder, inside: Callable[[Folder], Iterator[Found | Folder]]) -> Iterator[Found]:
    """All that is below a folder, with one folder at a time listed.

    Args:
        start: Where to begin.
        inside: What is in a folder, sorted by `order_of` each entry.
    """
    entered = [inside(start)]
    while entered:
        item = next(entered[-1], None)
        if item is None:
            entered.pop()
        elif isinstance(item, Folder):
            entered.append(inside(item))
        else:
            yield item


def listed_inside(
    folder: Folder, children: Iterable[tuple[str, bool, int]], unsafe: str
) -> Iterator[Found | Folder]:
    """What a store says is in a folder, as `walk` wants it; what it says twice, once.

    Stores normalise ``a//b`` and ``a/../b``; then a listing names something that is not below.

    Args:
        folder: Which.
        children: Of each in it, in any order: path below the root, whether it is a folder, bytes.
        unsafe: What is said of one that is not below, or has no name for a file.
    """
    last = b""
    for order, path, is_folder, size in sorted(
        (order_of(path, is_folder=is_folder), path, is_folder, size)
        for path, is_folder, size in children
    ):
        if order == last:
            continue
        last = order
        if not safe_relative(path) or posixpath.dirname(path) != folder.path:
            yield _problem(path, "unsafe-path", unsafe)
        elif is_folder:
            yield Folder(path)
        else:
            yield FoundFile(path, size)


def list_folder(base: str, may_read: Callable[[str], bool]) -> Iterator[Found]:
    """All files below a local folder.

    Args:
        base: Its real path.
        may_read: Whether what has a real path may be read: where links lead, say.
    """
    return walk(Folder("", base), _LocalFolders(may_read).inside)


class _LocalFolders:
    """Folders of this machine, as `walk` enters them."""

    def __init__(self, may_read: Callable[[str], bool]) -> None:
        self._may_read = may_read

    def inside(self, folder: Folder) -> Iterator[Found | Folder]:
        """What is in a folder. Its names are all known before the first of them is looked at."""
        try:
            for order, _ in in_order(_names_in(folder.real)):
                yield self._entry(folder, order)
        except OSError as error:
            detail = f"cannot be listed: {error.strerror or error}"
            yield _problem(folder.path, "unreadable", detail)

    def _entry(self, folder: Folder, order: bytes) -> Found | Folder:
        name = order.rstrip(b"/").decode("utf-8", "surrogatepass")
        path = f"{folder.path}/{name}" if folder.path else name
        if name.startswith((TEMPORARY, _MLFLOW_TEMPORARY)):
            return _problem(path, "transient", "an unfinished upload", expected=True)
        if not safe_relative(path):
            return _problem(path, "unsafe-path", _why_unsafe(path))
        try:
            return self._looked_at(folder, path, name, is_folder=order.endswith(b"/"))
        except FileNotFoundError:
            detail = "a broken link, or removed while it was being listed"
            return _problem(path, "missing", detail)
        except OSError as error:
            return _problem(path, "unreadable", f"cannot be read: {error.strerror or error}")

    def _looked_at(
        self, folder: Folder, path: str, name: str, *, is_folder: bool
    ) -> Found | Folder:
        """A file, or a folder to go into."""
        real = os.path.join(folder.real, name)  # noqa: PTH118 -- a text
        found = os.lstat(real)
        if is_link := stat.S_ISLNK(found.st_mode):
            real = os.path.realpath(real)
        if not self._may_read(real):
            return _problem(path, "unsafe-path", _why_not(real, is_link=is_link))
        if is_link:
            found = os.stat(real)  # noqa: PTH116 -- a text
        if stat.S_ISDIR(found.st_mode) != is_folder:
            return _problem(path, "unreadable", "was replaced while it was being listed")
        if not is_folder:
            return _file(path, real, found)
        above = (*folder.above, folder.real)
        if real in above:
            return _problem(path, "unsafe-path", "a link to a folder that contains it")
        return Folder(path, real, above)


def _names_in(real: str) -> Iterator[tuple[bytes, int]]:
    with os.scandir(real) as entries:
        for entry in entries:
            check()
            yield order_of(entry.name, is_folder=_is_folder(entry)), 0


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # Why it cannot be looked at is said when it is.


def _file(path: str, real: str, found: os.stat_result) -> Found:
    if not stat.S_ISREG(found.st_mode):
        return _problem(path, "unreadable", "neither a file nor a folder")
    if found.st_mode & _FOR_ALL != _FOR_ALL and not os.access(real, os.R_OK):
        return _problem(path, "unreadable", "permission denied")
    return FoundFile(path, found.st_size, f"{found.st_size}-{found.st_mtime_ns}")


def _problem(path: str, reason: str, detail: str, *, expected: bool = False) -> Problem:
    return Problem(displayable(path), reason, detail, expected)


def _why_not(real: str, *, is_link: bool) -> str:
    if is_link:
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
