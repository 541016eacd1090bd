"""The contents of a finished bundle, where its table ``contents`` says that they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.contents.index import ContentIndex, contents_rows, what_is_wrong
from mlporter.bundle.contents.pool import ContentPool
from mlporter.catalogue.tables.own import CONTENTS
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlporter.bundle.contents.index import Row
    from mlporter.bundle.contents.stored_content import StoredContent
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["PackedContents"]


class PackedContents:
    """Reads contents from packs and blobs. The table is read when the first one is asked for."""

    def __init__(self, storage: Storage, table: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        """Read in the bundle of a storage; `table` gives the rows of ``contents``."""
        self._storage = storage
        self._table = table
        self._lock = threading.Lock()
        self._index: ContentIndex | None = None
        self._pool: ContentPool | None = None

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A content for reading, checked as it is read.

        Raises:
            BundleDamagedError: at once if it is missing or not of `size` bytes; with the last read
                if it does not match its name.
            UnreachableError: it cannot be read.
        """
        with self._lock:
            pool = self._pool = self._pool or self._load()
        return pool.open(sha256, size)

    def elsewhere(self, sha256: str, size: int) -> StoredContent | None:
        """Where other processes find a content; raises as `open`."""
        with self._lock:
            pool = self._pool = self._pool or self._load()
        return pool.elsewhere(sha256, size)

    def _load(self) -> ContentPool:
        self._index = self._index or ContentIndex()
        for batch in self._table():
            self._index.add(self._checked(batch))
        return ContentPool(self._storage, self._index)

    def _checked(self, batch: pa.RecordBatch) -> Iterator[Row]:
        for row in contents_rows(batch):
            if wrong := what_is_wrong(*row):
                message = f"{CONTENTS.name}: {row[0][:64]!r} {wrong}"
                raise BundleDamagedError(message, subject=self._storage.name)
            yield row

    def close(self) -> None:
        """Free temporary space."""
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._pool = self._index = None
