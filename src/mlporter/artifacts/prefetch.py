"""Doing things some way ahead of whoever takes the results, in other threads and in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

from mlporter.stopping import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["prefetched", "read_ahead"]

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


T = TypeVar("T")

_AHEAD = 2
"""Items that are fetched before they are asked for: this many batches more are in memory."""


def read_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, fetched by another thread while the caller works on those before.

    The first is fetched by the caller's own thread: a statement that sorts for minutes before it
    gives its first rows can be interrupted there. So are all that follow until one takes longer
    than handing it over. Left early, it closes `items`, if that can be.
    """
    end: object = object()

    def fetched_here() -> tuple[T | object, bool]:
        started = monotonic()
        item = next(items, end)
        return item, monotonic() - started < _QUICK_SECONDS

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming: deque[Future[T | object]] = deque()
        try:
            item, is_quick = fetched_here()
            while item is not end:
                while not is_quick and len(coming) < _AHEAD:
                    coming.append(pool.submit(next, items, end))
                yield cast("T", item)
                if coming:
                    item = coming.popleft().result()
                else:
                    item, is_quick = fetched_here()
        finally:
            for fetched in coming:
                fetched.cancel()
            pool.shutdown()
            close = getattr(items, "close", None)
            if close is not None:
                close()
