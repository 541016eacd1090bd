"""Copy bytes and hash them in one pass."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from mlporter.stopping import check

__all__ = ["CHUNK", "Tapped", "copy_and_hash", "hash_stream"]

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
