"""What is done with a file, as plain data: by whichever process is given it.

Each task says where the bytes are and where they go. Its answer is plain data too, and so is a
failure: what one process cannot do, another one may.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mlporter.artifacts.disk.copying import ChangedWhileReadError, Tapped
from mlporter.artifacts.disk.new_file import write_new
from mlporter.artifacts.listing import TEMPORARY
from mlporter.artifacts.places import is_same
from mlporter.errors import MlporterError, RefusedError
from mlporter.stores.artifact_places.s3_blobs import take_by_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.contents.taking import Taken, Taker
    from mlporter.stores.artifact_places.portable import StoredPlace
    from mlporter.stores.protocols import Openable

__all__ = [
    "Answered",
    "CouldNot",
    "FileTask",
    "Group",
    "Landed",
    "Put",
    "PutFile",
    "PutObject",
    "TakeIn",
    "do_group",
    "in_peace",
]

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

_ATTEMPTS = 3
"""How often a file is read that somebody writes to: a log that grows is soon read in peace."""


class FileTask(Protocol[A_co]):
    """Something to do with a file."""

    @property
    def file(self) -> Openable:
        """Where its bytes are."""

    def do(self) -> A_co:
        """Do it; the answer is plain data."""


@dataclass(frozen=True, slots=True)
class CouldNot:
    """A task that this process could not do, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class TakeIn:
    """Read a file into a bundle, unless it is an object that the storage copies there."""

    file: Openable
    taker: Taker
    whole: WholeObject | None = None

    def do(self) -> Taken:
        """Have it copied, or read it."""
        taken = None if self.whole is None else take_by_storage(self.whole, self.taker)
        if taken is not None:
            return taken
        with self.file.open() as stream:
            return self.taker.take(stream)


@dataclass(frozen=True, slots=True)
class Landed:
    """A file that was put: SHA-256 (hex), size, whether it is ours, and its inode where it has one.

    `by_storage` says that an object store copied it itself.
    It is ours too where an earlier attempt at the same task wrote it, of which nobody heard again.
    """

    sha256: str
    size: int
    created: bool
    inode: int = 0
    by_storage: bool = False


@dataclass(frozen=True, slots=True)
class PutFile:
    """Put a file into a folder, which is there; `is_new` says that nothing had its name."""

    file: Openable
    folder: str
    name: str
    is_new: bool

    def do(self) -> Landed:
        """Write it, and read it back."""
        with self.file.open() as stream:
            new = write_new(
                self.folder, self.name, Tapped(stream), temporary=TEMPORARY, durable=False
            )
        if new.created:
            return Landed(new.sha256, new.size, created=True, inode=new.inode)
        final = Path(self.folder, self.name)
        if not is_same(final, new.sha256, new.size):
            raise RefusedError("another file is already there", subject=str(final))
        return Landed(new.sha256, new.size, self.is_new, final.lstat().st_ino)


@dataclass(frozen=True, slots=True)
class PutObject:
    """Put a file into an object store; `is_new` says that nothing had its name."""

    file: Openable
    place: StoredPlace
    path: str
    is_new: bool

    def do(self) -> Landed:
        """Write it, or have the storage copy it."""
        written = self.place.opened().put_from(
            self.path, self.file.open, self.file.whole, is_new=self.is_new
        )
        created = written.created or self.is_new
        return Landed(written.sha256, written.size, created, by_storage=written.by_storage)


Put = PutFile | PutObject


@dataclass(frozen=True, slots=True)
class Group(Generic[A]):
    """Tasks that are handed out together."""

    tasks: tuple[FileTask[A], ...]


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """What became of the tasks of a group, in their order, and how long it took."""

    answers: list[A | CouldNot]
    seconds: float


def do_group(group: Group[A]) -> Answered[A]:
    """Do some tasks one after another, whichever of them fail."""
    started = monotonic()
    answers = [_done(task) for task in group.tasks]
    try:
        for taker in _takers(group.tasks):
            taker.settle()
    except (OSError, MlporterError) as error:
        answers = [_could_not(error) for _ in answers]
    return Answered(answers, monotonic() - started)


def _could_not(error: Exception) -> CouldNot:
    return CouldNot(f"{type(error).__name__}: {error}")


def _takers(tasks: Iterable[object]) -> Iterable[Taker]:
    return {id(task.taker): task.taker for task in tasks if isinstance(task, TakeIn)}.values()


def _done(task: FileTask[A]) -> A | CouldNot:
    try:
        return in_peace(task.do, ChangedWhileReadError)
    except (OSError, MlporterError, ImportError) as error:
        return _could_not(error)


def in_peace(do: Callable[[], A], changed: type[Exception]) -> A:
    """Read a file in a moment in which nobody writes to it, as far as such a moment comes.

    Args:
        do: Reads it.
        changed: What that raises where it was written to meanwhile.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(changed):
            return do()
    return do()
