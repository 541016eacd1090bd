"""Requests in several threads: bounded, and one after another where they are about one thing."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from mlporter.stopping import Pool, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self, TypeVar

    _Item = TypeVar("_Item")

__all__ = ["WorkerPool"]

_EACH = 2
"""Pieces of work that wait for a worker, each: what bounds memory."""


class WorkerPool:
    """Workers that send requests. The first error ends the whole, at the latest when it closes."""

    def __init__(self, workers: int) -> None:
        self._pool = Pool(workers, thread_name_prefix="mlporter-send")
        self._most = workers * _EACH
        self._waiting: deque[Future[None]] = deque()
        self._last: tuple[object, Future[None]] | None = None

    def do(self, work: Callable[[], object], key: object = None) -> None:
        """Have something done; before what is given next under the same `key` right after it."""
        before = self._last[1] if key is not None and self._last and self._last[0] == key else None
        future = self._pool.submit(_after, before, work)
        self._last = (key, future) if key is not None else None
        self._waiting.append(future)
        while len(self._waiting) > self._most:
            self._waiting.popleft().result()

    def each(self, items: Iterable[_Item], work: Callable[[_Item], object]) -> None:
        """Have the same done with many things, and wait for all."""
        for item in items:
            self.do(partial(work, item))
        self.wait()

    def wait(self) -> None:
        """Wait until all is done."""
        while self._waiting:
            self._waiting.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._pool.__exit__(kind, error, traceback)
            return
        with self._pool:
            self.wait()


def _after(before: Future[None] | None, work: Callable[[], object]) -> None:
    # Given earlier, so begun earlier: it does not wait for a worker.
    if before is not None:
        before.result()
    check()
    work()
