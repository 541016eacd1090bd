"""Contents that lie alone, in a storage."""

from __future__ import annotations

import io
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.blobs import Stored, check_name, checked_stream
from mlporter.bundle.contents.stored_content import StoredContent
from mlporter.bundle.folder.atomic import AtomicFile, disk_errors
from mlporter.bundle.folder.files import CHUNK
from mlporter.bundle.folder.layout import blob_path
from mlporter.bundle.storage.hashing import hash_object
from mlporter.errors import BundleDamagedError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["StoredBlobs", "put_spooled", "spooled"]


def spooled(folder: Path, stream: BinaryIO, head: bytes) -> AtomicFile:
    """A stream in a temporary file, hashed on the way; for a ``with``, which removes it."""
    with disk_errors(folder):
        file = AtomicFile(folder)
    try:
        chunk = head or stream.read(CHUNK)
        while chunk:
            check()
            file.write(chunk)
            chunk = stream.read(CHUNK)
    except BaseException:
        file.discard()
        raise
    return file


def put_spooled(storage: Storage, file: AtomicFile) -> None:
    """Send a file of `spooled` as the blob that it is; it is gone here when this returns.

    Raises:
        UnreachableError: the place is full or fails.
    """
    file.close()
    try:
        storage.put_file(blob_path(file.sha256), file.temporary)
    finally:
        Path(file.temporary).unlink(missing_ok=True)


class StoredBlobs:
    """Blobs, ``blobs/ab/abcdef…``, in a storage. Safe for several threads."""

    def __init__(
        self, storage: Storage, *, is_shared: bool = False, scratch: Path | None = None
    ) -> None:
        """Use those below ``blobs/``.

        Args:
            storage: Of this place.
            is_shared: Others fill it too: look what is there.
            scratch: A folder for what is not whole yet, if not the storage's own.
        """
        self._storage = storage
        self._scratch = scratch
        self._is_shared = is_shared
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()
        self.name = storage.name

    def __reduce__(self) -> tuple[Callable[..., StoredBlobs], tuple[Storage | None]]:
        """In another process it knows nothing yet of what is there."""
        kind = partial(StoredBlobs, is_shared=self._is_shared, scratch=self._scratch)
        return kind, (self._storage.elsewhere(),)

    def elsewhere(self, sha256: str, size: int) -> StoredContent | None:
        """Where other processes find a content."""
        storage = self._storage.elsewhere()
        return None if storage is None else StoredContent(storage, sha256, size)

    def has(self, sha256: str, size: int) -> bool:
        """Whether there is one of that name and size."""
        known = self._sizes.get(sha256)
        return (self._storage.size(blob_path(sha256)) if known is None else known) == size

    def add(self, stream: BinaryIO, head: bytes = b"") -> Stored:
        """Take a content, hashing on the way; it begins with `head`, which was read before.

        Raises:
            UnreachableError: the place is full or fails. What reading `stream` raises is passed on.
        """
        with spooled(self._scratch or self._storage.scratch(), stream, head) as file:
            sha256, size = file.sha256, file.size
            with self._lock:
                is_new = sha256 not in self._sizes
                self._sizes[sha256] = size
            if is_new and self._is_shared:
                is_new = self._storage.size(blob_path(sha256)) != size
            if is_new:
                put_spooled(self._storage, file)
        return Stored(sha256, size, is_new)

    def whole(self, sha256: str) -> WholeObject | None:
        """One as an object of a bucket; see `Blobs.whole`."""
        return self._storage.whole(blob_path(sha256), sha256)

    def note(self, sha256: str, size: int) -> None:
        """Know one that another process may have brought."""
        with self._lock:
            self._sizes[sha256] = size
        self._storage.brought(blob_path(sha256))

    def sync(self) -> None:
        """Nothing is left to do: what was added is there."""

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A blob for reading, checked as it is read.

        Raises:
            BundleDamagedError: at once if it is missing or not of `size` bytes; with the last read
                if it does not match its name.
        """
        raw = self.open_raw(sha256)
        found = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        if size is not None and found != size:
            raw.close()
            message = f"blob {sha256} has {found:,} bytes, not {size:,}"
            raise BundleDamagedError(message, subject=self.name)
        return checked_stream(raw, sha256, found, self.name)

    def hash(self, sha256: str, seen: Callable[[int], None]) -> str:
        """SHA-256 (hex) of a blob as it is; none is kept on this machine for it."""
        check_name(sha256)
        return hash_object(self._storage, blob_path(sha256), seen)

    def open_raw(self, sha256: str) -> BinaryIO:
        """A blob for reading, unchecked."""
        check_name(sha256)
        return self._storage.open(blob_path(sha256))
