"""Files by their SHA-256: each content once, whoever's it is and however many name it."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from mlporter.bundle.atomic import AtomicFile, disk_errors, make_folder, sync_files, sync_folder
from mlporter.bundle.files import CHUNK, open_inside, walk
from mlporter.bundle.layout import SHA256
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Buffer

__all__ = ["BlobStore", "Stored"]


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
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._waiting: dict[str, AtomicFile] = {}
        self._waiting_bytes = 0
        self._leaving: dict[str, AtomicFile] = {}
        self._unsynced: set[Path] = set()

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
        path = self.path_of(sha256)
        return not path.is_symlink() and path.is_file() and path.stat().st_size == size

    def add(self, stream: BinaryIO) -> Stored:
        """Copy a stream into the store, hashing on the way; a blob that is there is kept.

        The blob is durable after the next `sync`.

        Raises:
            UnreachableError: the disk is full or fails. What reading `stream` raises is passed on.
        """
        make_folder(self.path)
        with disk_errors(self.path):
            temporary = AtomicFile(self.path)
        with temporary as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
            is_new = not self.has(file.sha256, file.size) and self._wait(file)
        with self._lock:
            many = len(self._waiting) >= _WAITING_FILES or self._waiting_bytes >= _WAITING_BYTES
        if many:
            self._settle()
        return Stored(file.sha256, file.size, is_new)

    def _wait(self, file: AtomicFile) -> bool:
        """Keep a content until it gets its name, unless another thread has just brought it."""
        with self._lock:
            if file.sha256 in self._waiting or file.sha256 in self._leaving:
                return False
            file.close()
            self._waiting[file.sha256] = file
            self._waiting_bytes += file.size
        return True

    def _settle(self) -> None:
        """Make what waits durable, and give it its names."""
        with self._settling:
            with self._lock:
                self._leaving, self._waiting = self._waiting, {}
                self._waiting_bytes = 0
            files = self._leaving
            try:
                with disk_errors(self.path):
                    sync_files(self.path, [file.temporary for file in files.values()])
                for sha256, file in files.items():
                    path = self.path_of(sha256)
                    make_folder(path.parent)
                    file.take_name(path)
                    with self._lock:
                        self._unsynced.add(path.parent)
            finally:
                for file in files.values():
                    with suppress(OSError):
                        file.temporary.unlink(missing_ok=True)
                with self._lock:
                    self._leaving = {}

    def sync(self) -> None:
        """Make all blobs added so far durable, and their names.

        Raises:
            UnreachableError: the disk fails.
        """
        self._settle()
        with self._lock:
            folders, self._unsynced = self._unsynced, set()
        for folder in folders:
            with disk_errors(folder):
                sync_folder(folder)

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A blob for reading, checked as it is read.

        The last bytes are handed out only if all of them have the hash that the blob is named by.

        Raises:
            BundleDamagedError: at once if it is missing, a link, or not of `size` bytes; with the
                last read if its content is not what its name says.
        """
        raw = self.open_raw(sha256)
        found = os.fstat(raw.fileno()).st_size
        if size is not None and found != size:
            raw.close()
            message = f"blob {sha256} has {found:,} bytes, not {size:,}"
            raise BundleDamagedError(message, subject=str(self.path))
        checked = io.BufferedReader(_Checked(raw, sha256, found, self.path), CHUNK)
        return cast("BinaryIO", checked)

    def open_raw(self, sha256: str) -> BinaryIO:
        """A blob for reading, unbuffered and unchecked.

        Raises:
            BundleDamagedError: it is missing, or it or its folder is a link.
            UnreachableError: it cannot be read.
        """
        return open_inside(self.path, _relative(sha256))

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


class _Checked(io.RawIOBase):
    """A raw file that refuses to end unless its content has the right hash."""

    def __init__(self, raw: BinaryIO, sha256: str, size: int, root: Path) -> None:
        super().__init__()
        self._raw = raw
        self._sha256 = sha256
        self._left = size
        self._hash = hashlib.sha256()
        self._root = root

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        with disk_errors(self._root, "read"):
            size: int = self._raw.readinto(view)  # type: ignore[attr-defined]
        self._hash.update(view[:size])
        self._left -= size
        ended = self._left <= 0 or not size
        if ended and (self._left or self._hash.hexdigest() != self._sha256):
            message = f"blob {self._sha256} is not what its name says"
            raise BundleDamagedError(message, subject=str(self._root))
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _relative(sha256: str) -> str:
    if not SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256: {sha256[:80]!r}")
    return f"{sha256[:2]}/{sha256}"
