"""Reading on while what was read is worked on: drivers and Parquet decode outside of Python."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from concurrent.futures import Future

__all__ = ["read_ahead"]

T = TypeVar("T")

_AHEAD = 2
"""Items that are fetched before they are asked for: this many batches more are in memory."""


def read_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items, fetched by another thread while the caller works on those before.

    The first is fetched by the caller's own thread: a statement that sorts for minutes before it
    gives its first rows can be interrupted there. Left early, it closes `items`, if that can be.
    """
    end: object = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming: deque[Future[T | object]] = deque()
        try:
            item: T | object = next(items, end)
            while item is not end:
                while len(coming) < _AHEAD:
                    coming.append(pool.submit(next, items, end))
                yield cast("T", item)
                item = coming.popleft().result()
        finally:
            for fetched in coming:
                fetched.cancel()
            pool.shutdown()
            close = getattr(items, "close", None)
            if close is not None:
                close()
