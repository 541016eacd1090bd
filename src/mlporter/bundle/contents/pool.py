"""A pool of file contents: each once, small ones packed, however many bundles name it."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from mlporter.bundle.blobs import Stored, check_name, checked_stream
from mlporter.bundle.contents.index import row_of
from mlporter.bundle.contents.packs import SMALL, PackBuilder, small_head
from mlporter.bundle.contents.stored_blobs import StoredBlobs, put_spooled, spooled
from mlporter.bundle.contents.stored_content import StoredContent
from mlporter.bundle.contents.taking import Taker
from mlporter.bundle.folder.layout import blob_path, pack_path
from mlporter.bundle.storage.hashing import hash_object
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlporter.bundle.contents.index import ContentIndex, Location, Row
    from mlporter.bundle.contents.taking import Taken
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["ContentPool"]

_KEPT_PACKS = 4
"""Packs that are kept in memory: all of each where a part costs as much to read, else a window."""
_WINDOW = 2 * SMALL
"""Bytes of a pack that are read at a time; any content fits. Of a pack on this machine always, of
one in object storage at first: if more of it is asked for, all of it is fetched, once."""


_T = TypeVar("_T")


class ContentPool:
    """Contents below ``packs/`` and ``blobs/`` of a storage, and the index that knows of them.

    What is added is durable, and in the index, some time before the end of `sync`. Every method
    may be called from several threads at once.

    Attributes:
        scratch: The folder in which other processes of this disk write what is not whole yet: it
            is removed afterwards, with what is left of one that was killed.
    """

    def __init__(
        self,
        storage: Storage,
        index: ContentIndex,
        stored: Callable[[list[Row]], None] = lambda _: None,
    ) -> None:
        """Use a storage.

        Args:
            storage: Where the contents are.
            index: Where each of them is; what is added is added to it.
            stored: Called with the rows of contents that have just become durable.
        """
        self._storage = storage
        self._index = index
        self._stored = stored
        self._lock = threading.Lock()
        self._pack = PackBuilder()
        self._waiting: dict[str, int] = {}
        self._packs: OrderedDict[str, bytes] = OrderedDict()
        self._begun: set[str] = set()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._windows: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        self.scratch: Path | None = None
        self.new_contents = 0
        self.new_bytes = 0

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content of that name and size is there, or will be with the next `sync`."""
        with self._lock:
            waiting = self._waiting.get(sha256)
        if waiting is not None:
            return waiting == size
        found = self._index.find(sha256)
        return found is not None and found.size == size

    def add(self, stream: BinaryIO) -> Stored:
        """Take a content, hashing on the way; one that is there is not stored again.

        Raises:
            UnreachableError: the place is full or fails. What reading `stream` raises is passed on.
        """
        head = small_head(stream)
        if len(head) < SMALL:
            return self._add_small(hashlib.sha256(head).hexdigest(), head)
        return self._add_large(head, stream)

    def taker_elsewhere(self) -> Taker | None:
        """What takes contents for `took` in other processes; None if they cannot write here."""
        if self._storage.elsewhere() is None:
            return None
        return Taker(StoredBlobs(self._storage, is_shared=True, scratch=self.scratch))

    def took(self, taken: Taken) -> Stored:
        """Keep what another process took: large contents are there already."""
        sha256, size, content = taken.sha256, taken.size, taken.content
        if content is not None:
            return self._add_small(sha256, content)
        with self._lock:
            is_new = sha256 not in self._waiting and self._index.find(sha256) is None
        if is_new:
            self._settle([(sha256, "", 0, size)])
        return Stored(sha256, size, is_new)

    def _add_small(self, sha256: str, content: bytes) -> Stored:
        size = len(content)
        if self.has(sha256, size):
            return Stored(sha256, size, is_new=False)
        full = None
        with self._lock:
            if sha256 in self._waiting:
                return Stored(sha256, size, is_new=False)
            self._waiting[sha256] = size
            self._pack.add(sha256, content)
            if self._pack.is_full:
                full, self._pack = self._pack, PackBuilder()
        if full is not None:
            self._put(full)
        return Stored(sha256, size, is_new=True)

    def _put(self, pack: PackBuilder) -> None:
        name, data = pack.close()
        self._storage.put(pack_path(name), data)
        self._settle([row_of(name, member) for member in pack.members])

    def _add_large(self, head: bytes, stream: BinaryIO) -> Stored:
        with spooled(self._storage.scratch(), stream, head) as file:
            sha256, size = file.sha256, file.size
            with self._lock:
                is_new = sha256 not in self._waiting and self._index.find(sha256) is None
                if is_new:
                    self._waiting[sha256] = size
            if is_new:
                put_spooled(self._storage, file)
                self._settle([(sha256, "", 0, size)])
        return Stored(sha256, size, is_new)

    def _settle(self, rows: list[Row]) -> None:
        """Note what has become durable."""
        self._index.add(rows)
        with self._lock:
            for sha256, _, _, size in rows:
                self._waiting.pop(sha256, None)
                self.new_contents += 1
                self.new_bytes += size
        self._stored(rows)

    def sync(self) -> None:
        """Make all that was added durable.

        Raises:
            UnreachableError: the place is full or fails.
        """
        with self._lock:
            pack, self._pack = self._pack, PackBuilder()
        if pack.members:
            self._put(pack)

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A content for reading; its last bytes are handed out only if all have the right hash.

        Raises:
            BundleDamagedError: at once if it is missing or not of `size` bytes; with the last read
                if it does not match its name.
            UnreachableError: it cannot be read.
        """
        found = self._find(sha256)
        if size is not None and found.size != size:
            raise self._damaged(sha256, f"has {found.size:,} bytes, not {size:,}")
        if found.pack:
            content = self._packed(found)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise self._damaged(sha256, "does not match its name")
            return io.BytesIO(content)
        raw = self._storage.open(blob_path(sha256))
        return checked_stream(raw, sha256, found.size, self._storage.name)

    def elsewhere(self, sha256: str, size: int) -> StoredContent | None:
        """Where other processes find a content; raises as `open`."""
        found, storage = self._find(sha256), self._storage.elsewhere()
        if storage is None or found.size != size:
            return None  # `open` says it
        return StoredContent(storage, sha256, size, found.pack, found.offset)

    def hash(self, sha256: str, seen: Callable[[int], None]) -> str:
        """SHA-256 (hex) of a content as it is. Raises as `open`."""
        found = self._find(sha256)
        if not found.pack:
            return hash_object(self._storage, blob_path(sha256), seen)
        content = self._packed(found)
        seen(len(content))
        return hashlib.sha256(content).hexdigest()

    def _find(self, sha256: str) -> Location:
        check_name(sha256)
        found = self._index.find(sha256)
        if found is None:
            raise self._damaged(sha256, "is missing")
        return found

    def _packed(self, found: Location) -> bytes:
        path = pack_path(found.pack)
        content = self._in_window(found)
        if content is None and self._storage.is_local:
            content = self._part(path, found)
        elif content is None:
            with self._lock:
                fetching = self._fetching[found.pack]
            with fetching:  # several threads ask for what lies in the same pack
                content = self._fetched(path, found)
        if len(content) != found.size:
            raise self._damaged(path, "is cut short")
        return content

    def _fetched(self, path: str, found: Location) -> bytes:
        """Part of a pack that is elsewhere, which another thread may have just fetched."""
        window = self._in_window(found)
        if window is not None:
            return window
        if self._storage.reads_parts and found.pack not in self._begun:
            self._begun.add(found.pack)
            return self._part(path, found)
        return self._whole_pack(found.pack)[found.offset : found.offset + found.size]

    def _in_window(self, found: Location) -> bytes | None:
        end = found.offset + found.size
        with self._lock:
            start, data = self._windows.get(found.pack, (0, b""))
        if not start <= found.offset <= end <= start + len(data):
            return None
        return data[found.offset - start : end - start]

    def _part(self, path: str, found: Location) -> bytes:
        """Part of a pack, and what comes after it: that is asked for next."""
        data = self._storage.read_range(path, found.offset, _WINDOW)
        _keep(self._windows, self._lock, found.pack, (found.offset, data))
        return data[: found.size]

    def _whole_pack(self, pack: str) -> bytes:
        """A pack, kept for what else is asked of it: files lie in it in the order of reading."""
        with self._lock:
            data = self._packs.get(pack)
            if data is not None:
                self._packs.move_to_end(pack)
                return data
        with self._storage.open(pack_path(pack)) as file:
            data = file.read()
        _keep(self._packs, self._lock, pack, data)
        return data

    def _damaged(self, what: str, message: str) -> BundleDamagedError:
        return BundleDamagedError(f"content {what} {message}", subject=self._storage.name)


def _keep(kept: OrderedDict[str, _T], lock: threading.Lock, pack: str, data: _T) -> None:
    """Keep something of a pack; what was asked for longest ago goes."""
    with lock:
        kept[pack] = data
        kept.move_to_end(pack)
        while len(kept) > _KEPT_PACKS:
            kept.popitem(last=False)
