"""Verify: contents that are read, by whichever worker; what it found is plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Protocol

from mlporter.bundle.checks.packs import check_pack, check_places
from mlporter.bundle.contents.packs import Member, Members
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.layout import blob_path
from mlporter.errors import BundleDamagedError, UnreachableError
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlporter.bundle.storage.protocol import Storage
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Blobs", "LookAtBlobs", "LookAtPack", "LookAtPlaces", "Looked", "look", "pack_tasks"]
__all__ += ["blob_tasks", "who_reads"]

_MEMBERS = 20_000
"""Contents of a pack that one task names; no writer puts so many into one."""
_BLOBS = 64
_BLOB_BYTES = 8 << 20
"""Blobs that one task names, at most."""


class Blobs(Protocol):
    """Contents that lie alone: in the bundle, or in a pool."""

    def has(self, sha256: str, size: int) -> bool:
        """Whether there is one of that name and size."""

    def hash(self, sha256: str, seen: Callable[[int], None]) -> str:
        """SHA-256 (hex) of what is stored under that name; `seen` gets the bytes of each piece."""


@dataclass
class Looked:
    """What was found: problems (path, what, detail), bytes and contents that were read."""

    problems: list[tuple[str, str, str]] = field(default_factory=list)
    bytes_read: int = 0
    blobs_read: int = 0
    members: list[tuple[str, str, int]] = field(default_factory=list)
    """Of packs of a repository: path, SHA-256 of a content, and the offset at which it is."""

    def add(self, path: str, what: str, detail: str) -> None:
        """Note something that is wrong."""
        self.problems.append((path, what, detail))

    def read(self, size: int) -> None:
        """Say that so many bytes were read."""
        self.bytes_read += size

    @property
    def has_problems(self) -> bool:
        """Whether anything is wrong: another process may see it so, and not this one."""
        return bool(self.problems)


@dataclass(frozen=True, slots=True)
class LookAtBlobs:
    """Read some blobs."""

    blobs: Blobs
    where: str
    names: tuple[str, ...]

    def look(self, looked: Looked) -> None:
        """Read them."""
        for sha256 in self.names:
            self._look(sha256, looked)

    def _look(self, sha256: str, looked: Looked) -> None:
        path = blob_path(sha256)
        try:
            with disk_errors(self.where, "read"):
                found = self.blobs.hash(sha256, looked.read)
        except BundleDamagedError:
            return  # missing or a link: named already
        except UnreachableError as error:
            looked.add(path, "unreadable", error.message)
            return
        looked.blobs_read += 1
        if found != sha256:
            looked.add(path, "sha256", "does not match its name")


@dataclass(frozen=True, slots=True)
class LookAtPack:
    """Read a pack, of which is said what it holds; or some of what it holds."""

    storage: Storage
    pack: str
    members: Iterable[Member]

    def look(self, looked: Looked) -> None:
        """Read all of it."""
        check_pack(self.storage, self.pack, self.members, looked)


@dataclass(frozen=True, slots=True)
class LookAtPlaces(LookAtPack):
    """Read some contents of a pack."""

    def look(self, looked: Looked) -> None:
        """Read those that are named."""
        check_places(self.storage, self.pack, self.members, looked)


class Task(Protocol):
    """Something to look at."""

    def look(self, looked: Looked) -> None:
        """Look at it."""


def look(task: Task) -> Looked:
    """Do a task."""
    looked = Looked()
    task.look(looked)
    return looked


def who_reads(storage: Storage, pool: TaskPool | None, workers: int) -> TaskPool:
    """Who looks at what is in a storage: this process, where no other one can open it."""
    return Threads(workers) if pool is None or storage.elsewhere() is None else pool


def blob_tasks(blobs: Blobs, where: str, named: Iterable[tuple[str, int]]) -> Iterator[LookAtBlobs]:
    """Blobs, some at a time."""
    some: list[str] = []
    total = 0
    for sha256, size in named:
        some.append(sha256)
        total += size
        if len(some) >= _BLOBS or total >= _BLOB_BYTES:
            yield LookAtBlobs(blobs, where, tuple(some))
            some, total = [], 0
    if some:
        yield LookAtBlobs(blobs, where, tuple(some))


def pack_tasks(
    kind: type[LookAtPack],
    storage: Storage,
    places: Iterable[tuple[str, str, int, int]],
    looked: Looked,
) -> Iterator[LookAtPack]:
    """Packs that are named, one at a time.

    `places` are sorted: SHA-256 of the pack and of the content, offset in it, and bytes.

    Of one that is said to hold far more than any does, no list is made: it is looked at here.
    """
    for pack, of_pack in groupby(places, lambda place: place[0]):
        rows = (Member(*place[1:]) for place in of_pack)
        some = Members(islice(rows, _MEMBERS))
        more = next(rows, None)
        if more is None:
            yield kind(storage, pack, some)
        else:
            kind(storage, pack, chain(some, [more], rows)).look(looked)
