"""Artifact files on their way: several at a time, results in order, one bad file stops nothing."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Generic, Protocol, TypeVar, cast

from mlporter.artifacts.disk.copying import ChangedWhileReadError
from mlporter.errors import LeftOut, MlporterError
from mlporter.execute.files.groups import FAR, GROUP_BYTES, FileGroup, FileGroups
from mlporter.execute.files.tasks import Answered, CouldNot, Group, do_group, in_peace
from mlporter.stopping import check
from mlporter.workers.task_pool import WorkerLostError
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from mlporter.execute.files.tasks import FileTask
    from mlporter.stores.protocols import ArtifactFile, Source
    from mlporter.workers.task_pool import Executor, PendingTask, TaskPool

__all__ = ["ChangingFileError", "LocalWork", "SourceFileError", "Work", "process_files"]
__all__ += ["open_guarded", "unreadable"]

_log = logging.getLogger(__name__)

A = TypeVar("A")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_LOOK_AHEAD = 4
_LOOK_AHEAD_FAR = 2
"""Groups of files submitted ahead of the one whose result is awaited, per worker."""

_NEAR = 4
"""Threads for what other processes cannot do."""


class SourceFileError(Exception):
    """A file of the source could not be read: its own failure, and not the target's."""


class ChangingFileError(SourceFileError):
    """A file of the source was written to while it was read."""


class _Guarded:
    """A stream whose read errors cannot be mistaken for errors of the one that writes."""

    def __init__(self, source: Source, file: ArtifactFile) -> None:
        self._source = source
        self._file = file

    def __enter__(self) -> BinaryIO:
        try:
            self._opened = self._source.open_file(self._file)
            self._stream = self._opened.__enter__()
        except OSError as error:
            raise SourceFileError(_text(error)) from error
        return cast("BinaryIO", self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            return self._opened.__exit__(kind, error, trace)
        except OSError as failure:
            if failure is error:
                raise
            raise SourceFileError(_text(failure)) from failure

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except ChangedWhileReadError as error:
            raise ChangingFileError(_text(error)) from error
        except OSError as error:
            raise SourceFileError(_text(error)) from error


def _text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def open_guarded(source: Source, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
    """The bytes of a file.

    Raises:
        SourceFileError: it cannot be opened or read.
    """
    return _Guarded(source, file)


def unreadable(file: ArtifactFile, why: str) -> LeftOut:
    """A file that could not be read, as an entry of the result."""
    return LeftOut("artifact", file.owner_id, file.path, "unreadable", why)


class Work(Protocol[T_contra, A, R_co]):
    """What is done with each file: here, or by another process."""

    def here(self, item: T_contra) -> R_co:
        """Do it in this process; called in any thread.

        Raises:
            SourceFileError: the file cannot be read.
        """

    def elsewhere(self, item: T_contra) -> FileTask[A] | None:
        """The same as a task for another process; None if only this one can do it."""

    def done(self, item: T_contra, answer: A) -> R_co | None:
        """What the answer of another process comes to; None if it does not show here."""


@dataclass(frozen=True)
class LocalWork(Generic[T, R]):
    """Work that only this process does."""

    here: Callable[[T], R]

    def elsewhere(self, item: T) -> None:
        """Never."""

    def done(self, item: T, answer: object) -> None:
        """Never called."""


def process_files(
    items: Iterable[T],
    work: Work[T, A, R],
    unread: Callable[[T, str], None],
    *,
    pool: TaskPool,
    size: Callable[[T], int],
    waits: bool = False,
) -> Iterator[tuple[T, R]]:
    """Carry files, several at a time; yield each with its result, in the order they came.

    A file that cannot be read (`SourceFileError`) goes to `unread` with the reason; one that is
    being written to is tried again before. Any other error ends the whole. What a worker of another
    process could not do is done here: only what this process cannot do either has failed.

    Small files that are quickly done, as those of a local disk, are carried in this thread:
    handing them over to another thread takes as long as copying them.

    Args:
        items: What to carry: files, or files with their destinations.
        work: What to do with each.
        unread: Takes what could not be read; called in this thread.
        pool: Who does it.
        size: The bytes of an item.
        waits: Whether what was begun is waited for, come what may: it will be taken back.
    """
    carrying = _Processing(work, unread, pool)
    with ExitStack() as stack:
        near = pool if not pool.is_elsewhere else Threads(_NEAR)
        here = stack.enter_context(near.started(waits=waits))
        there = stack.enter_context(pool.started(waits=waits)) if pool.is_elsewhere else None
        try:
            yield from carrying.all(items, size, here, there)
        finally:
            carrying.abandon(waits=waits)


class _Processing(Generic[T, A, R]):
    """Files on their way."""

    def __init__(
        self, work: Work[T, A, R], unread: Callable[[T, str], None], pool: TaskPool
    ) -> None:
        self._work = work
        self._unread = unread
        self._pool = pool
        self._pending: deque[_Near[T, R] | _Far[T, A]] = deque()
        self._failed = 0

    def all(
        self,
        items: Iterable[T],
        size: Callable[[T], int],
        here: Executor,
        there: Executor | None,
    ) -> Iterator[tuple[T, R]]:
        pending = self._pending
        near, far = FileGroups[T](size), FileGroups[T](size, FAR)
        each = _LOOK_AHEAD if there is None else _LOOK_AHEAD_FAR
        for group in self._grouped(items, near, far, is_far=there is not None):
            is_quick = not group.tasks and near.is_quick and group.bytes < GROUP_BYTES
            # Workers of a cluster come and go.
            ahead = self._pool.width * each
            while len(pending) > (0 if is_quick else ahead - 1):
                yield from self._results(pending.popleft(), near, far)
            if group.tasks and there is not None:
                handed = there.submit(do_group, Group(tuple(group.tasks)))
                pending.append(_Far(group.items, handed))
            elif is_quick:
                yield from self._told(
                    self._learned(near, _process_group((self._work.here, group.items)))
                )
            else:
                pending.append(_Near(here.submit(_process_group, (self._work.here, group.items))))
        while pending:
            yield from self._results(pending.popleft(), near, far)

    def _grouped(
        self, items: Iterable[T], near: FileGroups[T], far: FileGroups[T], *, is_far: bool
    ) -> Iterator[FileGroup[T, A]]:
        """Files in groups that go to the same workers."""
        group: FileGroup[T, A] = FileGroup()
        for item in items:
            task = self._work.elsewhere(item) if is_far else None
            if task is not None:
                self._check_seen(task)
            if group.items and bool(group.tasks) != (task is not None):
                yield group
                group = FileGroup()
            groups = near if task is None else far
            group.add(item, task, groups.size(item))
            if groups.is_enough(group):
                yield group
                group = FileGroup()
        if group.items:
            yield group

    def _check_seen(self, task: FileTask[A]) -> None:
        """Refuse, with the first file of a place of this machine, workers that do not see it."""
        folder = task.file.folder
        if folder and self._seen is None:
            self._pool.check_sees(folder)
            self._seen = folder

    _seen: str | None = None

    def _results(
        self, handed: _Near[T, R] | _Far[T, A], near: FileGroups[T], far: FileGroups[T]
    ) -> Iterator[tuple[T, R]]:
        if isinstance(handed, _Near):
            yield from self._told(self._learned(near, handed.handed.result()))
            return
        answers, seconds = self._answers(handed)
        far.learn(seconds, len(handed.items))
        # First of all what others have done: doing the rest here may end the whole.
        results = [self._noted(*one) for one in zip(handed.items, answers, strict=True)]
        processed = [
            (item, _processed(self._work.here, item) if result is None else result)
            for item, result in zip(handed.items, results, strict=True)
        ]
        yield from self._told(_Processed(processed, 0))

    def _noted(self, item: T, answer: A | CouldNot) -> R | None:
        """What the answer of another process comes to; None if it is to be done here."""
        result = None if isinstance(answer, CouldNot) else self._work.done(item, answer)
        if result is None:
            self._say_first(answer)
        return result

    @staticmethod
    def _learned(near: FileGroups[T], carried: _Processed[T, R]) -> _Processed[T, R]:
        near.learn(carried.seconds, len(carried.files))
        return carried

    def _answers(self, handed: _Far[T, A]) -> tuple[Sequence[A | CouldNot], float]:
        try:
            answered = handed.handed.result()
        except WorkerLostError as error:
            return [CouldNot(error.message)] * len(handed.items), 0
        return answered.answers, answered.seconds

    def _say_first(self, answer: object) -> None:
        self._failed += 1
        if self._failed == 1:
            why = answer.why if isinstance(answer, CouldNot) else "it does not show here"
            _log.warning("a worker could not copy a file, which is copied here: %s", why)

    def _told(self, carried: _Processed[T, R]) -> Iterator[tuple[T, R]]:
        for item, result in carried.files:
            if isinstance(result, SourceFileError):
                self._unread(item, str(result))
            else:
                yield item, result

    def abandon(self, *, waits: bool) -> None:
        """Begin nothing more; with `waits`, note what others have done until then."""
        pending, self._pending = self._pending, deque()
        begun = [handed for handed in pending if not handed.handed.cancel()]
        for handed in begun:
            if not (waits and isinstance(handed, _Far)):
                continue
            with suppress(MlporterError, CancelledError):
                for item, answer in zip(handed.items, self._answers(handed)[0], strict=True):
                    if not isinstance(answer, CouldNot):
                        with suppress(MlporterError):  # the others are noted all the same
                            self._work.done(item, answer)
        if self._failed > 1:
            _log.warning("%d files were copied here that workers could not copy", self._failed)


@dataclass(frozen=True, slots=True)
class _Near(Generic[T, R]):
    """A group that a thread carries."""

    handed: PendingTask[_Processed[T, R]]


@dataclass(frozen=True, slots=True)
class _Far(Generic[T, A]):
    """A group that another process carries."""

    items: list[T]
    handed: PendingTask[Answered[A]]


@dataclass(frozen=True, slots=True)
class _Processed(Generic[T, R]):
    """Files that were carried: each with its result, or why it could not be read."""

    files: list[tuple[T, R | SourceFileError]]
    seconds: float


def _process_group(given: tuple[Callable[[T], R], list[T]]) -> _Processed[T, R]:
    do, group = given
    started = monotonic()
    files = []
    for item in group:
        check()
        files.append((item, _processed(do, item)))
    return _Processed(files, monotonic() - started)


def _processed(do: Callable[[T], R], item: T) -> R | SourceFileError:
    try:
        return in_peace(partial(do, item), ChangingFileError)
    except SourceFileError as error:
        return error
