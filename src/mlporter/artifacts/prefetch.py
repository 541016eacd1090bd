"""Doing things some way ahead of whoever takes the results, in other threads and in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

from mlporter import stopping
from mlporter.stopping import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from mlporter.progress import OnProgress

__all__ = ["Ahead", "prefetched", "read_ahead"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_QUICK_SECONDS = 0.001
"""What takes less is done by whoever asks: handing it over takes as long as doing it."""


def prefetched(
    items: Iterable[_Item],
    work: Callable[[_Item], _Result],
    workers: int,
    *,
    each: int = 4,
) -> Iterator[tuple[_Item, _Result]]:
    """Items with what became of them, in their order.

    As long as the last one took next to no time, the next one is not handed over.

    Args:
        items: Taken one by one, in the caller's thread.
        work: Done in other threads, unless there is one worker only or it is quickly done.
        workers: Threads; at least 1.
        each: How many items a worker may be ahead of the caller: what bounds memory.
    """
    if workers <= 1:
        yield from ((item, work(item)) for item in items)
        return

    def timed(item: _Item) -> tuple[_Result, bool]:
        started = monotonic()
        result = work(item)
        return result, monotonic() - started < _QUICK_SECONDS

    waiting: deque[tuple[_Item, Future[tuple[_Result, bool]]]] = deque()
    remaining = iter(items)
    is_quick = False
    with Pool(workers, thread_name_prefix="mlporter-ahead") as pool:
        try:
            while True:
                if not is_quick:
                    room = workers * each - len(waiting)
                    some = islice(remaining, room)
                    waiting.extend((item, pool.submit(timed, item)) for item in some)
                if waiting:
                    item, future = waiting.popleft()
                    result, is_quick = future.result()
                    yield item, result
                    continue
                for item in remaining:
                    result, is_quick = timed(item)
                    yield item, result
                    if not is_quick:
                        break
                else:
                    return
        finally:
            for _, future in waiting:
                future.cancel()


class Ahead:
    """Something to be done once: in another thread from when it is begun, or when it is needed.

    For what this process can do while it waits for another one.
    """

    def __init__(self, work: Callable[[OnProgress], None], on_progress: OnProgress) -> None:
        """Nothing is begun.

        Args:
            work: Calls what it is given now and then; that raises if nobody wants it any more.
            on_progress: What `work` calls if it is not done in another thread, which says nothing.
        """
        self._work = work
        self._on_progress = on_progress
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mlporter-ahead")
        self._begun: Future[None] | None = None
        self._closed = False

    def begin_after(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Pass items on, and begin once they have all gone by."""
        yield from items
        if self._begun is None:
            self._begun = self._pool.submit(self._work, self._check)

    def _check(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:  # noqa: ARG002
        stopping.check()
        if self._closed:
            raise CancelledError

    def wait(self) -> None:
        """Have it done if it was begun; what it raised is raised here."""
        if self._begun is not None:
            self._begun.result()

    def finish(self) -> None:
        """Have it done."""
        if self._begun is None:
            self._work(self._on_progress)
        self.wait()

    def close(self) -> None:
        """End it if it is not done, and wait until nothing of it goes on."""
        self._closed = True
        self._pool.shutdown()


T = TypeVar("T")

_AHEAD = 2
"""Items that are fetched before they are asked for: this many batches more are in memory."""


def read_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, fetched by another thread while the caller works on those before.

    The first are fetched by the caller's own thread: a statement that sorts for minutes before it
    gives its first rows can be interrupted there, and where there is only one batch, as in most
    tables, no thread is worth its start. Left early, it closes `items`, if that can be.
    """
    try:
        ahead = deque(islice(items, _AHEAD))
        if len(ahead) < _AHEAD:
            yield from ahead
        else:
            yield from _fetched_ahead(items, ahead)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _fetched_ahead(items: Iterator[T], ahead: deque[T]) -> Iterator[T]:
    """What was fetched already, and the rest, by a thread."""
    end: object = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming: deque[Future[T | object]] = deque()
        try:
            while ahead:
                coming.append(pool.submit(next, items, end))
                yield ahead.popleft()
            while (item := coming.popleft().result()) is not end:
                coming.append(pool.submit(next, items, end))
                yield cast("T", item)
        finally:
            for fetched in coming:
                fetched.cancel()
