"""Artifact files on their way: several at a time, results in order, one bad file stops nothing."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from mlporter.artifacts.steady import ChangedWhileReadError
from mlporter.errors import LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["ChangingFileError", "SourceFileError", "carry_files", "open_guarded", "unreadable"]

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS = 3
"""How often a file is read that somebody writes to: a log that grows is soon read in peace."""

_LOOK_AHEAD = 4
"""Files submitted ahead of the one whose result is awaited, per worker."""


class SourceFileError(Exception):
    """A file of the source could not be read: its own failure, and not the target's."""


class ChangingFileError(SourceFileError):
    """A file of the source was written to while it was read."""


class _Guarded:
    """A stream whose read errors cannot be mistaken for errors of the one that writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except ChangedWhileReadError as error:
            raise ChangingFileError(_text(error)) from error
        except OSError as error:
            raise SourceFileError(_text(error)) from error


def _text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


@contextmanager
def open_guarded(source: Source, file: ArtifactFile) -> Iterator[BinaryIO]:
    """The bytes of a file.

    Raises:
        SourceFileError: it cannot be opened or read.
    """
    try:
        manager = source.open_file(file)
        stream = manager.__enter__()
    except OSError as error:
        raise SourceFileError(_text(error)) from error
    try:
        yield cast("BinaryIO", _Guarded(stream))
    except BaseException as error:
        if not manager.__exit__(type(error), error, error.__traceback__):
            raise
    else:
        try:
            manager.__exit__(None, None, None)
        except OSError as error:
            raise SourceFileError(_text(error)) from error


def unreadable(file: ArtifactFile, why: str) -> LeftOut:
    """A file that could not be read, as an entry of the result."""
    return LeftOut("artifact", file.owner_id, file.path, "unreadable", why)


def carry_files(
    items: Iterable[T],
    carry: Callable[[T], R],
    unread: Callable[[T, str], None],
    *,
    workers: int,
) -> Iterator[tuple[T, R]]:
    """Carry files in several threads; yield each with its result, in the order they came.

    A file that cannot be read (`SourceFileError`) goes to `unread` with the reason; one that is
    being written to is tried again before. Any other error ends the whole.

    Args:
        items: What to carry: files, or files with their destinations.
        carry: Carries one; called in worker threads.
        unread: Takes what could not be read; called in this thread.
        workers: How many at a time.
    """
    pending: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="artifacts") as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(_carry_steady, carry, item)))
                if len(pending) >= workers * _LOOK_AHEAD:
                    yield from _result(*pending.popleft(), unread)
            while pending:
                yield from _result(*pending.popleft(), unread)
        finally:
            for _, future in pending:
                future.cancel()


def _carry_steady(carry: Callable[[T], R], item: T) -> R:
    """Carry one file, in a moment in which nobody writes to it."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ChangingFileError):
            return carry(item)
    return carry(item)


def _result(item: T, future: Future[R], unread: Callable[[T, str], None]) -> Iterator[tuple[T, R]]:
    try:
        value = future.result()
    except SourceFileError as error:
        unread(item, str(error))
    else:
        yield item, value
