"""Objects on their way into object storage: several at a time, and none that is there already."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.folder.layout import BLOB_PATH, PACK_PATH
from mlporter.stopping import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.storage.protocol import Storage, StoredObject

__all__ = ["Uploads"]


class Uploads:
    """A storage that is being filled; implements `mlporter.bundle.storage.protocol.Storage`.

    `put` returns before an object is there; one that fails makes the next `put`, or `settle`, fail.
    It is for one thread, as is all that waits for it; `put_file` and `size` are for several.
    Packs and blobs that an earlier attempt brought are not sent again: a name says what is in them.
    """

    is_local = False
    reads_parts = False

    def __init__(self, storage: Storage, there: Mapping[str, int], workers: int) -> None:
        """Fill a storage.

        Args:
            storage: Which.
            there: The objects that an earlier attempt has left, and their sizes.
            workers: Objects that are sent at a time.
        """
        self._storage = storage
        self._there = there
        self._workers = workers
        self._pool = Pool(workers, thread_name_prefix="uploads")
        self._sending: set[Future[None]] = set()
        self.paths: set[str] = set()
        self.name = storage.name

    def put(self, path: str, data: bytes) -> None:
        """Send an object; waits while enough others are on their way."""
        if self._is_needed(path, len(data)):
            self._wait(self._workers)
            self._sending.add(self._pool.submit(self._storage.put, path, data))

    def put_file(self, path: str, file: Path) -> None:
        """Send a file of this machine; it is there, and gone here, when this returns."""
        if self._is_needed(path, file.stat().st_size):
            self._storage.put_file(path, file)
        else:
            file.unlink()

    def _is_needed(self, path: str, size: int) -> bool:
        self.paths.add(path)
        named_by_sum = BLOB_PATH.fullmatch(path) or PACK_PATH.fullmatch(path)
        return not named_by_sum or self._there.get(path) != size

    def settle(self) -> None:
        """Wait until all is there.

        Raises:
            UnreachableError: the place is full or fails.
        """
        self._wait(0)

    def _wait(self, left: int) -> None:
        while len(self._sending) > left:
            done, self._sending = wait(self._sending, return_when=FIRST_COMPLETED)
            for sent in done:
                sent.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send nothing that has not begun."""
        self._pool.__exit__(kind, error, trace)

    # --------------------------------------------------------------------- as the storage has it

    def elsewhere(self) -> Storage | None:
        """What is being filled, as other processes fill it."""
        return self._storage.elsewhere()

    def whole(self, path: str, sha256: str) -> WholeObject | None:
        """An object of what is being filled."""
        return self._storage.whole(path, sha256)

    def brought(self, path: str) -> None:
        """Note an object that another process has sent."""
        self.paths.add(path)

    def scratch(self) -> Path:
        """A folder for files that `put_file` will take."""
        return self._storage.scratch()

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one."""
        self.paths.add(path)
        return self._storage.put_new(path, data)

    def size(self, path: str) -> int | None:
        """Bytes of an object; of one that is on its way nobody knows."""
        return self._storage.size(path)

    def open(self, path: str) -> BinaryIO:
        """An object for reading."""
        self.settle()
        return self._storage.open(path)

    def read(self, path: str, limit: int) -> bytes:
        """A small object."""
        self.settle()
        return self._storage.read(path, limit)

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Some bytes of an object."""
        self.settle()
        return self._storage.read_range(path, start, size)

    def walk(self, below: str = "") -> Iterator[StoredObject]:
        """Every object below a folder."""
        self.settle()
        return self._storage.walk(below)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove objects."""
        self.settle()
        gone = list(paths)
        self.paths -= set(gone)
        self._storage.remove(gone)
