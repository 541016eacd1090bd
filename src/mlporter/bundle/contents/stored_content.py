"""One content of a bundle as plain data: where its bytes are, for any process to read."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.blobs import checked_stream
from mlporter.bundle.folder.layout import blob_path, pack_path
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["StoredContent"]

_KEPT_PACKS = 4
"""Packs of object storage that a process keeps: what is asked for next is in the same one."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A content in a storage: alone, or in a pack from an offset on."""

    storage: Storage
    sha256: str
    size: int
    pack: str = ""
    offset: int = 0

    @property
    def folder(self) -> str:
        """The folder of this machine that it lies in, or ""."""
        return self.storage.name if self.storage.is_local else ""

    @property
    def whole(self) -> WholeObject | None:
        """The object that it is, if it lies alone in an object store."""
        return None if self.pack else self.storage.whole(blob_path(self.sha256), self.sha256)

    def open(self) -> BinaryIO:
        """The bytes; the last ones come only if all have the hash it is named by.

        Raises:
            BundleDamagedError: it is missing, of another size, or not what its name says.
            UnreachableError: it cannot be read.
        """
        if not self.pack:
            raw = self.storage.open(blob_path(self.sha256))
            return checked_stream(raw, self.sha256, self.size, self.storage.name)
        content = self._packed()
        if len(content) != self.size or hashlib.sha256(content).hexdigest() != self.sha256:
            message = f"content {self.sha256} does not match its name"
            raise BundleDamagedError(message, subject=self.storage.name)
        return io.BytesIO(content)

    def _packed(self) -> bytes:
        path, end = pack_path(self.pack), self.offset + self.size
        if self.storage.is_local:
            return self.storage.read_range(path, self.offset, self.size)
        return _whole(_Asked(self.storage), path)[self.offset : end]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A storage, told from others by being that one."""

    storage: Storage

    def __hash__(self) -> int:
        return id(self.storage)


@lru_cache(_KEPT_PACKS)
def _whole(asked: _Asked, path: str) -> bytes:
    with asked.storage.open(path) as file:
        return file.read()
