"""Parts of tables as objects: of a bundle in object storage, or those that snapshots share."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.bundle.documents.manifest_entries import PartEntry
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["StoredParts"]


class StoredParts:
    """Parts in a storage; implements `mlporter.bundle.tables.read_parts.PartFiles`."""

    def __init__(
        self, storage: Storage, path_of: Callable[[PartEntry], str] = lambda part: part.path
    ) -> None:
        """Read from a storage; `path_of` says where a part lies in it."""
        self._storage = storage
        self._path_of = path_of
        self.name = storage.name

    def open(self, part: PartEntry) -> BinaryIO:
        """The file of a part."""
        path = self._path_of(part)
        file = self._storage.open(path)
        found = file.seek(0, io.SEEK_END)
        file.seek(0)
        if found != part.bytes:
            file.close()
            message = f"{path} has {found:,} bytes, not {part.bytes:,}"
            raise BundleDamagedError(message, subject=self.name)
        return file
