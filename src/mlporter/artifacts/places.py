"""Where one owner's artifact files lie, and the kind of place that is a local directory."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from mlporter.artifacts.copying import Tapped, copy_and_hash, hash_stream
from mlporter.artifacts.durable import sync_folder
from mlporter.artifacts.steady import SteadyFile
from mlporter.artifacts.uris import safe_relative
from mlporter.errors import RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlporter.artifacts.writelog import WriteLog

__all__ = ["FoundFile", "Listing", "LocalPlace", "Place", "Problem", "Written", "displayable"]

TEMPORARY = ".mlporter-"
"""How the names of our unfinished files begin."""
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Not blocking, so that a fifo that took a file's place is not waited for."""
_FOR_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDERS = 16
"""Folders of a place whose real paths are remembered: files come folder by folder."""
MLFLOW_TEMPORARY = ".artifact.uploading."
"""How the names of MLflow's unfinished uploads begin (it hides them from listings too)."""


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


@dataclass(frozen=True, slots=True)
class Written:
    """What `Place.put` did. `created` is False if the very same bytes were already there."""

    sha256: str
    size: int
    created: bool


class Place(Protocol):
    """Where one owner's artifact files lie."""

    @property
    def uri(self) -> str:
        """Its URI, redacted, for people."""

    def exists(self) -> bool:
        """Whether there is anything: for a directory, the directory itself."""

    def list(self) -> Listing:
        """All files below it. An absent place has none.

        Raises:
            UnreachableError: nothing can be listed at all (AccessDeniedError if not allowed).
        """

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file's bytes; `path` as `list` gave it. Safe to call from several threads.

        Raises:
            OSError: it cannot be read.
        """

    def put(self, path: str, stream: BinaryIO) -> Written:
        """Write a file, never over another one.

        Raises:
            RefusedError: another file is there, or the path is not safe.
            UnreachableError: it cannot be written.
            OSError: `stream` cannot be read; nothing was written.
        """


def displayable(name: str) -> str:
    r"""A name as valid text: undecodable bytes, which are surrogates, are spelt ``\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class LocalPlace:
    """A local directory.

    Symbolic links are followed only if they lead to something inside the directory; nothing
    outside of it is ever read or written.
    """

    root: Path
    log: WriteLog | None = field(default=None, compare=False)

    @property
    def uri(self) -> str:
        """The directory."""
        return displayable(os.fspath(self.root))

    @cached_property
    def _base(self) -> str:
        """The real path of the directory, which all that is opened and written must lie below."""
        return os.path.realpath(self.root)

    def exists(self) -> bool:
        """Whether the directory is there."""
        return self.root.is_dir()

    def list(self) -> Listing:
        """All files below the directory; see `Place.list`."""
        if not self.root.exists():
            return Listing()
        walk = _Walk(os.path.realpath(self.root))
        walk.folder("", walk.base, ())
        walk.files.sort(key=lambda file: file.path.encode())
        return Listing(tuple(walk.files), tuple(walk.problems))

    def open(self, path: str) -> BinaryIO:
        """A file's bytes; see `Place.open`."""
        raw = SteadyFile(self._descriptor(path))
        if not raw.is_regular:
            raw.close()
            raise OSError(errno.EINVAL, "not a regular file", path)
        return cast("BinaryIO", io.BufferedReader(raw))

    def _descriptor(self, path: str) -> int:
        """A file open for reading, if it lies inside.

        Resolving a whole path takes longer than reading a small file: that of the folder is kept.
        """
        if safe_relative(path):
            folder, _, name = path.rpartition("/")
            real = self._real_folder(folder)
            if _is_below(real, self._base):
                descriptor = _open_unlinked(f"{real}/{name}")
                if descriptor is not None:
                    return descriptor
                real = os.path.realpath(f"{real}/{name}")
                if _is_below(real, self._base):
                    return os.open(real, _READ_ONLY)
        raise PermissionError(errno.EACCES, "leads out of the artifact root", path)

    @cached_property
    def _real_folder(self) -> Callable[[str], str]:
        """The real path of a folder below, remembered for a few."""
        base = self._base
        return lru_cache(_FOLDERS)(lambda folder: os.path.realpath(f"{base}/{folder}"))

    def put(self, path: str, stream: BinaryIO) -> Written:
        """Write a file; see `Place.put`. A file that is there and equal is left as it is."""
        if not safe_relative(path):
            raise RefusedError("the path of an artifact is not safe", subject=path)
        source = Tapped(stream)
        try:
            return self._write(self._made_folder(path.rpartition("/")[0]), path, source)
        except OSError as error:
            if error is source.failure:
                raise
            raise UnreachableError(
                f"cannot write: {error.strerror or error}",
                subject=f"{self.uri}/{path}",
                hint="free some space" if error.errno == errno.ENOSPC else None,
            ) from error

    @cached_property
    def _made_folder(self) -> Callable[[str], Path]:
        """A folder below, made if it is not there; remembered for a few."""
        return lru_cache(_FOLDERS)(self._make_folders)

    def _make_folders(self, path: str) -> Path:
        self.create()
        base = self._base
        folder = Path(base)
        for part in filter(None, path.split("/")):
            folder /= part
            self._make(folder)
            if not _is_below(os.path.realpath(folder), base):
                raise RefusedError("a link leads out of the artifact root", subject=str(folder))
        return folder

    def create(self) -> None:
        """Make the directory, and those above it; noted in the log like a file."""
        missing = []
        folder = self.root.absolute()
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            self._make(folder)
        if not self.root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.uri)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir()
        except FileExistsError:
            return
        if self.log:
            self.log.add_directory(folder)

    def _write(self, folder: Path, path: str, stream: Tapped) -> Written:
        final = folder / path.rpartition("/")[2]
        temporary = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as out:
                digest, size = copy_and_hash(stream, out)
                out.flush()
                if self.log is None:
                    os.fsync(out.fileno())
                made = os.fstat(out.fileno())
            if self.log:
                self.log.add_file(final, made.st_dev, made.st_ino)
            if _publish(temporary, final):
                if self.log is None:
                    sync_folder(folder)
                return Written(digest, size, created=True)
        finally:
            temporary.unlink(missing_ok=True)
        if _same(final, digest, size):
            return Written(digest, size, created=False)
        raise RefusedError(
            "another file is already there",
            subject=f"{self.uri}/{path}",
            hint="choose a folder without it; no file is ever overwritten",
        )


def _open_unlinked(path: str) -> int | None:
    """Open a file for reading; None if it is a symbolic link, or nobody can say."""
    if not _NO_LINK:
        return None
    try:
        return os.open(path, _READ_ONLY | _NO_LINK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _publish(temporary: Path, final: Path) -> bool:
    """Give a finished file its name; False if the name is taken."""
    try:
        os.link(temporary, final, follow_symlinks=False)
    except FileExistsError:
        return False
    except (OSError, NotImplementedError):
        # No hard links on this file system: check, then rename.
        if os.path.lexists(final):
            return False
        temporary.rename(final)
    return True


def _same(path: Path, digest: str, size: int) -> bool:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        return False
    with path.open("rb") as stream:
        return hash_stream(stream) == (digest, size)


def _is_below(real: str, base: str) -> bool:
    return real == base or real.startswith(base.rstrip(os.sep) + os.sep)


@dataclass
class _Walk:
    """One listing of a local directory. `base` is its real path."""

    base: str
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
        if entry.name.startswith((TEMPORARY, MLFLOW_TEMPORARY)):
            self._problem(name, "transient", "an unfinished upload", expected=True)
            return None
        if not safe_relative(name):
            self._problem(name, "unsafe-path", _why_unsafe(name))
            return None
        try:
            real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if entry.is_symlink() and not _is_below(real, self.base):
                self._problem(name, "unsafe-path", "a link that leads out of the artifact root")
                return None
            found = entry.stat()
            if stat.S_ISDIR(found.st_mode):
                return self._subfolder(name, real, above)
            self._file(name, real, found)
        except FileNotFoundError:
            self._problem(name, "missing", "a link to nothing, or removed while it was listed")
        except OSError as error:
            self._problem(name, "unreadable", f"cannot be read: {error.strerror or error}")
        return None

    def _subfolder(self, name: str, real: str, above: tuple[str, ...]) -> str | None:
        if real in above:
            self._problem(name, "unsafe-path", "a link to a folder that it lies in")
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


def _why_unsafe(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    return "its name is not safe to use as a path on other machines"
