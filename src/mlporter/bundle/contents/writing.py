"""The contents of a bundle that is being written: small ones in packs, large ones as blobs."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.blobs import BlobStore, Stored
from mlporter.bundle.contents.index import ContentIndex, row_of
from mlporter.bundle.contents.packs import SMALL, PackBuilder, read_members
from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.contents.taking import Taker
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import hash_stream
from mlporter.bundle.folder.layout import BLOBS, PACK_PATH, PACKS, name_in, pack_path
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mlporter.bundle.contents.index import Row
    from mlporter.bundle.contents.taking import Blobs, Taken
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["BundleContents", "PackTotals", "contents_in"]


@dataclass
class PackTotals:
    """How many packs there are and their bytes, how many contents are in them and *their* bytes."""

    packs: int = 0
    pack_bytes: int = 0
    packed: int = 0
    packed_bytes: int = 0


class BundleContents:
    """Contents below ``packs/`` and ``blobs/`` of an unfinished bundle, in a folder or a bucket.

    `add` may be called from several threads, and keeps a small content in memory. `claim` is called
    by one thread for every file in the order of the table ``artifacts``, and puts it into the pack
    that is being filled: so the same files give the same packs.
    """

    def __init__(self, storage: Storage, blobs: Blobs, *, resume: bool) -> None:
        """Use a place.

        Args:
            storage: Where packs go.
            blobs: Where contents go that lie alone, in the same place.
            resume: The whole packs that are there are used, and others removed.
        """
        self._storage = storage
        self._blobs = blobs
        self._index = ContentIndex()
        self._lock = threading.Lock()
        self._waiting: dict[str, bytes] = {}
        self._packing: dict[str, int] = {}
        self._pack = PackBuilder()
        self._packs_small = True
        self._small_blobs = resume
        self._sizes: dict[str, int] = {}
        self._found: list[str] = []
        if resume:
            self._find_packs()

    def pack_nothing(self) -> None:
        """From now on write small contents as blobs, too: the bundle cannot tell of packs."""
        self._packs_small, self._small_blobs = False, True
        self.drop_unnamed(lambda _: False)

    # ------------------------------------------------------------------------------- writing

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content of that name and size is there, or in memory."""
        with self._lock:
            waiting, packing = self._waiting.get(sha256), self._packing.get(sha256)
        if waiting is not None:
            return len(waiting) == size
        if packing is not None:
            return packing == size
        found = self._index.find(sha256)
        if found is not None:
            return found.size == size
        return (size >= SMALL or self._small_blobs) and self._blobs.has(sha256, size)

    def add(self, stream: BinaryIO) -> Stored:
        """Take a content, hashing on the way; one that is there is kept.

        Raises:
            UnreachableError: the disk is full or fails. What reading `stream` raises is passed on.
        """
        return self.took(self.taker().take(stream))

    def taker(self) -> Taker:
        """What takes contents for `took`, in any thread."""
        return Taker(self._blobs, self._packs_small)

    def taker_elsewhere(self) -> Taker | None:
        """The same for other processes, or None if only this one can write here."""
        if self._storage.elsewhere() is None:
            return None
        return self.taker()

    def took(self, taken: Taken) -> Stored:
        """Keep what was taken."""
        sha256, size, content = taken.sha256, taken.size, taken.content
        if content is None:
            self._blobs.note(sha256, size)
            return Stored(sha256, size, taken.is_new)
        if self.has(sha256, size):
            return Stored(sha256, size, is_new=False)
        with self._lock:
            is_new = sha256 not in self._packing and sha256 not in self._waiting
            if is_new:
                self._waiting[sha256] = content
        return Stored(sha256, size, is_new)

    def claim(self, sha256: str, size: int) -> bool:
        """Take a content for good; whether it was there.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        with self._lock:
            content = self._waiting.pop(sha256, None)
            if content is not None:
                self._packing[sha256] = len(content)
        if content is None:
            return self.has(sha256, size)
        self._pack.add(sha256, content)
        if self._pack.is_full:
            self._close_pack()
        return len(content) == size

    def _close_pack(self) -> None:
        pack, self._pack = self._pack, PackBuilder()
        if not pack.members:
            return
        name, data = pack.close()
        self._storage.put(pack_path(name), data)
        self._sizes[name] = len(data)
        self._index.add(row_of(name, member) for member in pack.members)
        with self._lock:
            self._packing = {}

    def keep(self) -> None:
        """Before the bundle is whole: make durable whatever was added, so that resuming has it."""
        for sha256, content in sorted(self._waiting.items()):
            self.claim(sha256, len(content))
        self.sync()

    def sync(self) -> None:
        """Make all that was claimed, and all blobs, durable.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        self._close_pack()
        self._blobs.sync()

    def close(self) -> None:
        """Free temporary space."""
        self._index.close()

    # ---------------------------------------------------------------- going on with what is there

    def _find_packs(self) -> None:
        """Learn what the packs hold that an interrupted export left."""
        for entry in self._storage.walk(PACKS):
            if not PACK_PATH.fullmatch(entry.path):
                continue
            name = name_in(entry.path)
            rows = self._rows_of_whole(entry.path)
            if rows is None:
                self._storage.remove([entry.path])
                continue
            self._index.add(rows)
            self._sizes[name] = entry.size
            self._found.append(entry.path)

    def _rows_of_whole(self, path: str) -> list[Row] | None:
        """Where the contents of a pack lie, or None if it is not whole."""
        name = name_in(path)
        with suppress(BundleDamagedError), self._opened(path) as file:
            if hash_stream(file) == name:
                file.seek(0)
                return [row_of(name, member) for member, _ in read_members(file, path)]
        return None

    def drop_unnamed(self, is_named: Callable[[str], bool]) -> None:
        """Write those packs of an interrupted export anew that hold what nothing names now."""
        found, self._found = self._found, []
        for path in found:
            name = name_in(path)
            with self._opened(path) as file:
                held = list(read_members(file, path))
            where = [self._index.find(member.sha256) for member, _ in held]
            here = [place is not None and place.pack == name for place in where]
            if all(h and is_named(m.sha256) for (m, _), h in zip(held, here, strict=True)):
                continue
            self._index.remove(m.sha256 for (m, _), h in zip(held, here, strict=True) if h)
            for (member, content), is_here in zip(held, here, strict=True):
                if is_here and is_named(member.sha256):
                    self._waiting[member.sha256] = content
                    self.claim(member.sha256, member.size)
            self._close_pack()
            self._drop(name)
        self.sync()

    def _drop(self, name: str) -> None:
        self._sizes.pop(name, None)
        self._storage.remove([pack_path(name)])

    @contextmanager
    def _opened(self, path: str) -> Iterator[BinaryIO]:
        with self._storage.open(path) as file, disk_errors(f"{self._storage.name}/{path}", "read"):
            yield file

    # --------------------------------------------------------------------------------- at the end

    def is_pack(self, path: str) -> bool:
        """Whether a path is that of a pack of this bundle."""
        return PACK_PATH.fullmatch(path) is not None and name_in(path) in self._sizes

    def is_packed(self, sha256: str) -> bool:
        """Whether a content is in a pack."""
        return self._index.find(sha256) is not None

    @property
    def has_packs(self) -> bool:
        """Whether anything is in packs."""
        return bool(self._sizes)

    def rows(self, named: Iterable[tuple[str, int]], totals: PackTotals) -> Iterator[Row]:
        """Where contents lie, of which the names and sizes are given, sorted; adds them up.

        No other content is in packs: see `drop_unnamed`.
        """
        totals.packs, totals.pack_bytes = len(self._sizes), sum(self._sizes.values())
        packed = self._index.rows()
        place = next(packed, None)
        for sha256, size in named:
            if place is None or place[0] != sha256:
                yield sha256, "", 0, size
                continue
            totals.packed += 1
            totals.packed_bytes += size
            yield place
            place = next(packed, None)


def contents_in(root: Path, elsewhere: Storage | None, *, resume: bool) -> BundleContents:
    """The contents of a bundle that is written in `root`: there, or in object storage."""
    if elsewhere is not None:
        return BundleContents(elsewhere, StoredBlobs(elsewhere), resume=False)
    return BundleContents(LocalStorage(root), BlobStore(root / BLOBS), resume=resume)
