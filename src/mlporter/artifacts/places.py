"""Where one owner's artifact files lie, and the kind of place that is a local directory."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from mlporter.artifacts.disk.copying import StableFile, Tapped, copy_and_hash, hash_stream
from mlporter.artifacts.disk.durable import sync_folder
from mlporter.artifacts.disk.new_file import write_new
from mlporter.artifacts.disk.portable_names import check_windows_names
from mlporter.artifacts.disk.presence import displayable, is_folder, is_there, open_real
from mlporter.artifacts.listing import TEMPORARY, list_folder
from mlporter.artifacts.uris.allowed_folders import Roots, is_below
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from mlporter.artifacts.disk.write_log import WriteLog
    from mlporter.artifacts.listing import Found

__all__ = [
    "Changeable",
    "LocalPlace",
    "Place",
    "WholeObject",
    "Written",
    "displayable",
    "is_same",
]

_FOLDERS = 16
"""Folders of a place whose real paths are remembered: files come folder by folder."""
_OVER_A_LINK = (errno.ELOOP, errno.ENOTDIR)
"""What is said where a link may not be followed: at the end of a path, and on the way."""


@dataclass(frozen=True, slots=True)
class Written:
    """What `Place.put` did. `created` is False if the very same bytes were already there.

    `by_storage` says that an object store copied it itself.
    """

    sha256: str
    size: int
    created: bool
    by_storage: bool = False


@dataclass(frozen=True, slots=True)
class WholeObject:
    """A file that is one object of a store which speaks S3: where it is, as plain data.

    Attributes:
        bucket: Its bucket.
        key: Its key.
        prefix: Of the variables by which the store is reached.
        sha256: What its content must have (hex); "" where nobody knows.
    """

    bucket: str
    key: str
    prefix: str
    sha256: str = ""


class Place(Protocol):
    """Where one owner's artifact files lie."""

    @property
    def uri(self) -> str:
        """Its URI, redacted, for people."""

    def exists(self) -> bool:
        """Whether there is anything: for a directory, the directory itself.

        Raises:
            UnreachableError: nobody can say.
        """

    def list(self) -> Iterator[Found]:
        """All files below it, by their path's UTF-8 bytes, as they are found.

        What could not be listed comes between them. An absent place has none.

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
            ReadBackError: what is there now is not what was written (of a local folder).
            OSError: `stream` cannot be read; nothing was written.
        """


class Changeable(Place, Protocol):
    """A place whose files can be changed: what a transfer of its own wrote there before."""

    def replace(self, path: str, stream: BinaryIO) -> Written:
        """Write a file over another one, in one step where the place can do that.

        Raises:
            UnreachableError: it cannot be written.
            OSError: `stream` cannot be read; the other one stays.
        """

    def remove(self, paths: Sequence[str]) -> Sequence[str]:
        """Remove files; returns those that stay."""


@dataclass(frozen=True)
class LocalPlace:
    """A local directory.

    Symbolic links are followed only if they lead to something inside the directory, or in another
    one that may be read; nothing outside of it is ever written.

    Attributes:
        root: The directory.
        log: Notes what is written.
        roots: What else may be read, and what in it may not; None for nothing else, and all.
        real: Its real path, where that is known.
    """

    root: Path
    log: WriteLog | None = field(default=None, compare=False)
    roots: Roots | None = field(default=None, compare=False)
    real: str = field(default="", compare=False)

    @property
    def uri(self) -> str:
        """The directory."""
        return displayable(os.fspath(self.root))

    @cached_property
    def base(self) -> str:
        """The real path of the directory, which all that is opened and written must lie below."""
        return self.real or os.path.realpath(self.root)

    @cached_property
    def has_private(self) -> bool:
        """Whether the system's or somebody's own files lie in it."""
        return self.roots is not None and self.roots.machine.has_private(self.base)

    def _may_read(self, real: str) -> bool:
        """Whether what has this real path may be read."""
        if is_below(real, self.base) and not self.has_private:
            return True
        return self.roots is not None and self.roots.holds(real)

    @cached_property
    def elsewhere(self) -> LocalPlace | None:
        """The same for other processes: plain data. None where not all in it may be read."""
        base = self.base
        return None if self.has_private else LocalPlace(Path(base), real=base)

    def exists(self) -> bool:
        """Whether the directory is there; see `Place.exists`."""
        return is_folder(self.root)

    def list(self) -> Iterator[Found]:
        """All files below the directory; see `Place.list`."""
        return list_folder(self.base, self._may_read) if is_there(self.root) else iter(())

    def open(self, path: str) -> BinaryIO:
        """A file's bytes; see `Place.open`."""
        raw = StableFile(self._descriptor(path))
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
            real = f"{self._real_folder(folder)}/{name}"
            if self._may_read(real):
                try:
                    return open_real(real)
                except OSError as error:
                    if error.errno not in _OVER_A_LINK:
                        raise
            real = os.path.realpath(real)
            if self._may_read(real):
                return open_real(real)
        raise PermissionError(errno.EACCES, "leads out of the artifact root", path)

    @cached_property
    def _real_folder(self) -> Callable[[str], str]:
        """The real path of a folder below, remembered for a few."""
        base = self.base
        return lru_cache(_FOLDERS)(lambda folder: os.path.realpath(f"{base}/{folder}"))

    def put(self, path: str, stream: BinaryIO) -> Written:
        """Write a file, and read it back; see `Place.put`. An equal one is left as it is."""
        _check_path(path)
        source = Tapped(stream)
        try:
            return self._write(self._made_folder(path.rpartition("/")[0]), path, source)
        except OSError as error:
            if error is source.failure:
                raise
            raise self._cannot_write(path, error) from error

    def replace(self, path: str, stream: BinaryIO) -> Written:
        """Write a file over another one; see `Changeable.replace`."""
        _check_path(path)
        source = Tapped(stream)
        try:
            folder = self._made_folder(path.rpartition("/")[0])
            temporary = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
            try:
                with temporary.open("xb") as out:
                    digest, size = copy_and_hash(source, out)
                    out.flush()
                    os.fsync(out.fileno())
                temporary.replace(folder / path.rpartition("/")[2])
                sync_folder(folder)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            if error is source.failure:
                raise
            raise self._cannot_write(path, error) from error
        return Written(digest, size, created=True)

    def remove(self, paths: Sequence[str]) -> Sequence[str]:
        """Remove files; see `Changeable.remove`. Folders stay."""
        stay = []
        for path in paths:
            folder = self._real_folder(path.rpartition("/")[0])
            try:
                if not (safe_relative(path) and is_below(folder, self.base)):
                    raise PermissionError(errno.EACCES, "leads out of the artifact root", path)
                Path(folder, path.rpartition("/")[2]).unlink(missing_ok=True)
            except OSError:
                stay.append(path)
        return stay

    @cached_property
    def _made_folder(self) -> Callable[[str], Path]:
        """A folder below, made if it is not there; remembered for a few."""
        return lru_cache(_FOLDERS)(self._make_folders)

    def _make_folders(self, path: str) -> Path:
        self.create()
        base = self.base
        folder = Path(base)
        for part in filter(None, path.split("/")):
            folder /= part
            self._make(folder)
            if not is_below(os.path.realpath(folder), base):
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
        name, log = path.rpartition("/")[2], self.log
        written = write_new(
            os.fspath(folder),
            name,
            stream,
            temporary=TEMPORARY,
            durable=log is None,
            appears=None if log is None else partial(log.add_file, folder, name),
        )
        if written.created or is_same(folder / name, written.sha256, written.size):
            return Written(written.sha256, written.size, written.created)
        raise RefusedError(
            "another file is already there",
            subject=f"{self.uri}/{path}",
            hint="choose a folder without it; no file is ever overwritten",
        )

    def folder_of(self, path: str) -> Path:
        """The folder that a new file goes into, made if it is not there; noted in the log.

        Raises:
            RefusedError: the path is not safe, or leads out.
            UnreachableError: the folder cannot be made.
        """
        _check_path(path)
        try:
            return self._made_folder(path.rpartition("/")[0])
        except OSError as error:
            raise self._cannot_write(path, error) from error

    def _cannot_write(self, path: str, error: OSError) -> UnreachableError:
        return UnreachableError(
            f"cannot write: {error.strerror or error}",
            subject=f"{self.uri}/{path}",
            hint="free some space" if error.errno == errno.ENOSPC else None,
        )


def _check_path(path: str) -> None:
    """Refuse a path that leads out of a folder, or that this system takes for another one."""
    if not safe_relative(path):
        raise RefusedError("the path of an artifact is not safe", subject=path)
    if os.name == "nt":
        check_windows_names(path)


def is_same(path: Path, digest: str, size: int) -> bool:
    """Whether a file is a regular one with this SHA-256 (hex) and size."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        return False
    with path.open("rb") as stream:
        return hash_stream(stream) == (digest, size)
