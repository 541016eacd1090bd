"""Doing things some way ahead of whoever takes the results, in several threads and in order."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from mlporter.stopping import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["ahead"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ahead(
    items: Iterable[_Item],
    work: Callable[[_Item], _Result],
    workers: int,
    *,
    each: int = 4,
) -> Iterator[tuple[_Item, _Result]]:
    """Items with what became of them, in their order.

    Args:
        items: Taken one by one, in the caller's thread.
        work: Done in other threads, unless there is one worker only.
        workers: Threads; at least 1.
        each: How many items a worker may be ahead of the caller: what bounds memory.
    """
    if workers <= 1:
        yield from ((item, work(item)) for item in items)
        return
    waiting: deque[tuple[_Item, Future[_Result]]] = deque()
    remaining = iter(items)
    with Pool(workers, thread_name_prefix="mlporter-ahead") as pool:
        try:
            while True:
                room = workers * each - len(waiting)
                waiting.extend((item, pool.submit(work, item)) for item in islice(remaining, room))
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
