"""Artifact files on their way: several at a time, results in order, one bad file stops nothing."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar, cast

from mlporter.artifacts.disk.copying import ChangedWhileReadError
from mlporter.errors import LeftOut
from mlporter.stopping import Pool, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import AbstractContextManager
    from types import TracebackType

    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["ChangingFileError", "SourceFileError", "carry_files", "open_guarded", "unreadable"]

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS = 3
"""How often a file is read that somebody writes to: a log that grows is soon read in peace."""

_LOOK_AHEAD = 4
"""Groups of files submitted ahead of the one whose result is awaited, per worker."""

_GROUP_SECONDS = 0.02
_GROUP_FILES = 64
_GROUP_BYTES = 1 << 20
"""What is copied at a time, at most: as long as that, so many files, about so many bytes."""

_QUICK_SECONDS = 0.001
"""Files that take less are copied without other threads."""


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


def carry_files(
    items: Iterable[T],
    carry: Callable[[T], R],
    unread: Callable[[T, str], None],
    *,
    workers: int,
    size: Callable[[T], int],
    threads: type[ThreadPoolExecutor] = Pool,
) -> Iterator[tuple[T, R]]:
    """Copy files in several threads; yield each with its result, in the order they came.

    A file that cannot be read (`SourceFileError`) goes to `unread` with the reason; one that is
    being written to is tried again before. Any other error ends the whole.

    Small files that are quickly done, as those of a local disk, are copied in this thread:
    handing them over takes as long as copying them, and they stand in each other's way.

    Args:
        items: What to copy: files, or files with their destinations.
        carry: Copies one; called in worker threads.
        unread: Takes what could not be read; called in this thread.
        workers: How many at a time.
        size: The bytes of an item.
        threads: What gives the threads: after an interrupt, those of `Pool` are left where they
            are, and those of others waited for.
    """
    pending: deque[Future[_Carried[T, R]]] = deque()
    groups = _Groups(size)
    with threads(max_workers=workers, thread_name_prefix="artifacts") as pool:
        try:
            for group in groups.of(items):
                enough = 0 if group.is_quick else workers * _LOOK_AHEAD - 1
                while len(pending) > enough:
                    yield from _results(groups.learn(pending.popleft().result()), unread)
                if group.is_quick:
                    yield from _results(groups.learn(_carry_group(carry, group.items)), unread)
                else:
                    pending.append(pool.submit(_carry_group, carry, group.items))
            while pending:
                yield from _results(pending.popleft().result(), unread)
        finally:
            for future in pending:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Group(Generic[T]):
    """Files that are copied one after another; `is_quick` if that hardly takes time."""

    items: list[T]
    is_quick: bool


@dataclass(frozen=True, slots=True)
class _Carried(Generic[T, R]):
    """Files that were copied: each with its result, or why it could not be read."""

    files: list[tuple[T, R | SourceFileError]]
    seconds: float


class _Groups(Generic[T]):
    """Cuts files into groups, by what the last ones took: one that is slow is a group by itself."""

    def __init__(self, size: Callable[[T], int]) -> None:
        self._size = size
        self._most = 1
        self._is_quick = True

    def of(self, items: Iterable[T]) -> Iterator[_Group[T]]:
        group: list[T] = []
        total = 0
        for item in items:
            group.append(item)
            total += self._size(item)
            if len(group) >= self._most or total >= _GROUP_BYTES:
                yield _Group(group, self._is_quick and total < _GROUP_BYTES)
                group, total = [], 0
        if group:
            yield _Group(group, self._is_quick)

    def learn(self, carried: _Carried[T, R]) -> _Carried[T, R]:
        """Make the next groups longer or shorter, as this one took little or much time."""
        each = carried.seconds / len(carried.files)
        self._is_quick = each < _QUICK_SECONDS
        self._most = max(1, min(_GROUP_FILES, int(_GROUP_SECONDS / max(each, 1e-6))))
        return carried


def _carry_group(carry: Callable[[T], R], group: list[T]) -> _Carried[T, R]:
    started = monotonic()
    files = []
    for item in group:
        check()
        files.append((item, _carried(carry, item)))
    return _Carried(files, monotonic() - started)


def _carried(carry: Callable[[T], R], item: T) -> R | SourceFileError:
    """Copy one file, in a moment in which nobody writes to it."""
    try:
        for _ in range(_ATTEMPTS - 1):
            with suppress(ChangingFileError):
                return carry(item)
        return carry(item)
    except SourceFileError as error:
        return error


def _results(carried: _Carried[T, R], unread: Callable[[T, str], None]) -> Iterator[tuple[T, R]]:
    for item, result in carried.files:
        if isinstance(result, SourceFileError):
            unread(item, str(result))
        else:
            yield item, result
