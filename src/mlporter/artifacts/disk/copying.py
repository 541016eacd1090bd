"""Copy bytes and hash them in one pass; a file that tells if somebody wrote to it meanwhile."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from mlporter.stopping import check

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["CHUNK", "ChangedWhileReadError", "StableFile", "Tapped", "copy_and_hash", "hash_stream"]

CHUNK = 1 << 20
"""Bytes that are read at a time."""


def copy_and_hash(src: BinaryIO | Tapped, dst: BinaryIO, chunk: int = CHUNK) -> tuple[str, int]:
    """Copy `src` to `dst` up to its end, `chunk` bytes at a time.

    Returns:
        The SHA-256 (hex) and the number of bytes.

    Raises:
        OSError: reading or writing failed.
    """
    digest = hashlib.sha256()
    size = 0
    while block := src.read(chunk):
        check()
        digest.update(block)
        dst.write(block)
        size += len(block)
    return digest.hexdigest(), size


class Tapped:
    """A stream that remembers how reading it failed, to tell a bad source from a full target."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def read(self, size: int) -> bytes:
        """Read like the stream itself."""
        try:
            return self._stream.read(size)
        except OSError as error:
            self.failure = error
            raise


def hash_stream(src: BinaryIO, chunk: int = CHUNK) -> tuple[str, int]:
    """The SHA-256 (hex) of the rest of `src`, and its bytes."""
    digest = hashlib.sha256()
    size = 0
    while block := src.read(chunk):
        check()
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


class ChangedWhileReadError(OSError):
    """What was read is neither what the file was before, nor what it is now."""


class StableFile(io.FileIO):
    """A raw file whose end cannot be read if its size or time changed since it was opened.

    Raises (when reading):
        ChangedWhileReadError: in place of the end.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        super().__init__(descriptor, "rb")
        found = os.fstat(descriptor)
        self.is_regular = stat.S_ISREG(found.st_mode)
        self._before = found.st_size, found.st_mtime_ns

    def readinto(self, buffer: Buffer) -> int:
        """Bytes read into `buffer`; 0 at the end."""
        size = super().readinto(buffer)
        if not size:
            self._check()
        return size

    def readall(self) -> bytes:
        """All that is left."""
        content = super().readall()
        self._check()
        return content

    def _check(self) -> None:
        if self._state() != self._before:
            raise ChangedWhileReadError(errno.EBUSY, "it was written to while it was being read")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self.fileno())
        return found.st_size, found.st_mtime_ns
