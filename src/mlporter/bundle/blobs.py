"""Files by their SHA-256: each content once, whoever's it is and however many name it."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from mlporter.artifacts.disk.durable import sync_files, sync_folders
from mlporter.bundle.folder.atomic import AtomicFile, disk_errors, make_folder, write_temporary
from mlporter.bundle.folder.files import CHUNK, hash_stream, open_inside, walk
from mlporter.bundle.folder.layout import SHA256
from mlporter.errors import BundleDamagedError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

__all__ = ["BlobStore", "Stored", "check_name", "checked_stream"]


class Stored(NamedTuple):
    """A stored content: SHA-256 (hex), bytes, and whether it was not there before."""

    sha256: str
    size: int
    is_new: bool


_WAITING_FILES = 1_000
_WAITING_BYTES = 64 << 20
"""Contents that wait for their names, at most: they are made durable together."""


class BlobStore:
    """A folder of blobs, ``ab/abcdef…``: the one of a bundle, or a pool that many share.

    What is added gets its name when its content is durable, some time before the end of `sync`:
    a blob that has its name is never half of itself, whatever fails.

    Every method may be called from several threads at once.
    """

    def __init__(self, path: Path) -> None:
        """Use the blobs in `path`; the folder is made by the first `add`."""
        self.path = path
        self._folder = os.fspath(path)
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._waiting_bytes = 0
        self._leaving: dict[str, _Waiting] = {}
        self._made: set[str] = set()
        self._real = ""
        self._unsynced: set[str] = set()

    def __reduce__(self) -> tuple[type[BlobStore], tuple[Path]]:
        """Other processes fill the same folder, each what it was given."""
        return BlobStore, (self.path.absolute(),)

    def path_of(self, sha256: str) -> Path:
        """Where a blob is, or would be.

        Raises:
            ValueError: it is no SHA-256 in lower-case hex.
        """
        return self.path / _relative(sha256)

    def has(self, sha256: str, size: int) -> bool:
        """Whether a regular file of that name and size is there (its content is not read)."""
        with self._lock:
            waiting = self._waiting.get(sha256) or self._leaving.get(sha256)
        if waiting is not None:
            return waiting.size == size
        try:
            found = os.lstat(f"{self._folder}/{_relative(sha256)}")
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def add(self, stream: BinaryIO, head: bytes = b"") -> Stored:
        """Copy a stream into the store, hashing on the way; a blob that is there is kept.

        The blob is durable after the next `sync`. It begins with `head`, which was read before.

        Raises:
            UnreachableError: the disk is full or fails. What reading `stream` raises is passed on.
        """
        self._make("")
        head = head or stream.read(CHUNK)
        chunk = stream.read(CHUNK) if head else b""
        if not chunk:
            return self._add_whole(head)
        with disk_errors(self.path):
            temporary = AtomicFile(self.path)
        with temporary as file:
            file.write(head)
            while chunk:
                check()
                file.write(chunk)
                chunk = stream.read(CHUNK)
            is_new = not self.has(file.sha256, file.size)
            if is_new:
                file.close()
                waiting = _Waiting(os.fspath(file.temporary), file.size)
                is_new = self._wait(file.sha256, waiting)
        return Stored(file.sha256, file.size, is_new)

    def whole(self, sha256: str) -> None:
        """No object store's: see `Blobs.whole`."""

    def note(self, sha256: str, size: int) -> None:
        """Nothing to do: what is there is looked for."""

    def _add_whole(self, content: bytes) -> Stored:
        """Add what is in memory; nothing is written if it is there already."""
        sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        if self.has(sha256, size):
            return Stored(sha256, size, is_new=False)
        with disk_errors(self.path):
            temporary = write_temporary(self._folder, content)
        return Stored(sha256, size, self._wait(sha256, _Waiting(temporary, size)))

    def _wait(self, sha256: str, file: _Waiting) -> bool:
        """Keep a closed file until it gets its name, unless another thread has just brought it."""
        with self._lock:
            is_new = sha256 not in self._waiting and sha256 not in self._leaving
            if is_new:
                self._waiting[sha256] = file
                self._waiting_bytes += file.size
            many = len(self._waiting) >= _WAITING_FILES or self._waiting_bytes >= _WAITING_BYTES
        if not is_new:
            _remove(file.temporary)
        elif many:
            self._settle()
        return is_new

    def _make(self, folder: str) -> None:
        """Make the folder, or one in it, once: looking for it takes as long as writing a file."""
        if folder not in self._made:
            make_folder(self.path / folder)
            self._made.add(folder)

    def _settle(self) -> None:
        """Give names to what waits."""
        with self._settling:
            with self._lock:
                self._leaving, self._waiting = self._waiting, {}
                self._waiting_bytes = 0
            try:
                self._name(self._leaving)
            finally:
                with self._lock:
                    self._leaving = {}

    def _name(self, files: dict[str, _Waiting]) -> None:
        """Make contents durable, and give them their names."""
        named = 0
        try:
            with disk_errors(self.path):
                sync_files(self.path, [file.temporary for file in files.values()])
            folders = {sha256[:2] for sha256 in files}
            self._unsynced |= folders
            for folder in folders:
                self._make(folder)
            with disk_errors(self.path):
                for sha256, file in files.items():
                    os.replace(file.temporary, f"{self._folder}/{sha256[:2]}/{sha256}")  # noqa: PTH105 -- a Path each takes as long
                    named += 1
        finally:
            for file in islice(files.values(), named, None):
                _remove(file.temporary)

    def sync(self) -> None:
        """Make all blobs added so far durable, and their names.

        Raises:
            UnreachableError: the disk fails.
        """
        self._settle()
        with self._settling:
            folders, self._unsynced = self._unsynced, set()
        with disk_errors(self.path):
            sync_folders(self.path, folders)

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A blob for reading, checked as it is read.

        The last bytes are handed out only if all of them have the hash that the blob is named by.

        Raises:
            BundleDamagedError: at once if it is missing, a link, or not of `size` bytes; with the
                last read if its content does not match its name.
        """
        raw = self.open_raw(sha256)
        found = os.fstat(raw.fileno()).st_size
        if size is not None and found != size:
            raw.close()
            message = f"blob {sha256} has {found:,} bytes, not {size:,}"
            raise BundleDamagedError(message, subject=str(self.path))
        return checked_stream(raw, sha256, found, str(self.path))

    def open_raw(self, sha256: str) -> BinaryIO:
        """A blob for reading, unbuffered and unchecked.

        Raises:
            BundleDamagedError: it is missing, or it or its folder is a link.
            UnreachableError: it cannot be read.
        """
        path = _relative(sha256)
        opened = open_inside(self.path, path, folder_is_real=self._real == path[:2])
        self._real = path[:2]
        return opened

    def hash(self, sha256: str, seen: Callable[[int], None]) -> str:
        """SHA-256 (hex) of a blob as it is; raises as `open_raw`."""
        with self.open_raw(sha256) as file:
            return hash_stream(file, seen)

    def iterate(self) -> Iterator[tuple[str, int]]:
        """Every blob's SHA-256 and size, sorted. Memory grows with the fullest folder only.

        Raises:
            BundleDamagedError: something in the folder is no blob.
            UnreachableError: it cannot be listed.
        """
        if not self.path.is_dir():
            return
        for entry in walk(self.path):
            name = entry.path.rpartition("/")[2]
            if entry.kind == "folder":
                continue
            if entry.kind != "file" or not SHA256.fullmatch(name):
                message = f"{entry.path} is not a blob"
                raise BundleDamagedError(message, subject=str(self.path))
            yield name, entry.size


class _Waiting(NamedTuple):
    """A closed file without its name: where it is, and its bytes."""

    temporary: str
    size: int


def _remove(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink(missing_ok=True)


class _Checked(io.RawIOBase):
    """A raw file that refuses to end unless its content has the right hash."""

    def __init__(self, raw: BinaryIO, sha256: str, size: int, where: str) -> None:
        super().__init__()
        self._raw = raw
        self._sha256 = sha256
        self._left = size
        self._hash = hashlib.sha256()
        self._where = where

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read, and refuse to end where the content does not match its name."""
        view = memoryview(buffer)
        with disk_errors(self._where, "read"):
            size: int = self._raw.readinto(view)  # type: ignore[attr-defined]
        self._hash.update(view[:size])
        self._left -= size
        ended = self._left <= 0 or not size
        if ended and (self._left or self._hash.hexdigest() != self._sha256):
            message = f"blob {self._sha256} does not match its name"
            raise BundleDamagedError(message, subject=self._where)
        return size

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
        super().close()


def checked_stream(raw: BinaryIO, sha256: str, size: int, where: str) -> BinaryIO:
    """A content for reading, whose last bytes come only if all have the hash it is named by.

    Args:
        raw: It, unchecked and unbuffered; closed with what is returned.
        sha256: Its name (hex).
        size: Its bytes.
        where: The place, for messages.
    """
    checked = _Checked(raw, sha256, size, where)
    return cast("BinaryIO", io.BufferedReader(checked, max(1, min(size, CHUNK))))


def check_name(sha256: str) -> None:
    """Make sure that a name of a content is one.

    Raises:
        ValueError: it is no SHA-256 in lower-case hex.
    """
    if not SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256: {sha256[:80]!r}")


def _relative(sha256: str) -> str:
    check_name(sha256)
    return f"{sha256[:2]}/{sha256}"
