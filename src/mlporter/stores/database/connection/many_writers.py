"""What several connections do at a time, each in a thread: write rows, or make indexes."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from mlporter.stores.database.connection.feed import Handover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    import pyarrow as pa

    from mlporter.stores.database.connection.connection import Connection

__all__ = ["call_by_many", "write_by_many"]

_STEP = 0.3
"""Seconds after which whoever waits looks for signals that did not wake it."""


def write_by_many(
    connections: Sequence[Connection],
    table: str,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    stop: Callable[[], None],
) -> int:
    """Append batches to a table, each by whichever connection is free; return the rows appended.

    Args:
        connections: In autocommit mode: what each has written is committed when it ends.
        table: A table that all of them see.
        schema: That of the batches.
        batches: Taken in the thread of whoever calls this. As many wait as there are connections.
        stop: Makes what is being written end early, from this thread.

    Raises:
        Exception: that of `batches`, or else of the first connection that could not write.
    """
    waiting = Handover(len(connections))
    with closing(_Calls(len(connections), stop)) as calls:
        calls.when_one_fails(waiting.give_up)
        for connection in connections:
            calls.begin(partial(connection.ingest, table, schema, waiting.batches()))
        try:
            for batch in batches:
                if not waiting.put(batch):
                    break  # one of them failed, which `results` raises
            waiting.end()
        except BaseException:
            waiting.give_up()
            raise
        return sum(calls.results())


def call_by_many(
    calls: Sequence[Callable[[], None]], at_once: int, stop: Callable[[], None]
) -> None:
    """Make calls, some at a time, the first one first.

    Args:
        calls: What to do; all are made, unless one fails or the work is interrupted.
        at_once: How many at a time.
        stop: Makes those that last end early, from this thread.

    Raises:
        Exception: that of the first call that failed.
    """
    with closing(_Calls(at_once, stop)) as made:
        for call in calls:
            made.begin(call)
        made.results()


class _Calls:
    """Calls in threads of their own: whoever leaves before all have ended stops them."""

    def __init__(self, at_once: int, stop: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(at_once, "mlporter-writers")
        self._stop = stop
        self._begun: list[Future[int | None]] = []
        self._have_ended = False
        self._when_one_fails: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Wait until all have ended, at once unless `results` has seen it."""
        if not self._have_ended:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._stop()
        self._pool.shutdown()

    def when_one_fails(self, then: Callable[[], None]) -> None:
        """What is to be done then, at once, in the thread of the call."""
        self._when_one_fails = then

    def begin(self, call: Callable[[], int | None]) -> None:
        """Make a call, as soon as a thread is free."""
        self._begun.append(self._pool.submit(call))
        self._begun[-1].add_done_callback(self._look_at)

    def _look_at(self, call: Future[int | None]) -> None:
        if not call.cancelled() and call.exception() is not None:
            self._when_one_fails()

    def results(self) -> list[int]:
        """What they returned, when all have ended.

        Raises:
            Exception: that of the first one that failed, and not because another one had.
        """
        waiting = set(self._begun)
        while waiting:
            _, waiting = wait(waiting, _STEP, FIRST_EXCEPTION)
            self._raise_errors()
        self._have_ended = True
        return [call.result() or 0 for call in self._begun]

    def _raise_errors(self) -> None:
        ended = (call.exception() for call in self._begun if call.done() and not call.cancelled())
        errors = [error for error in ended if error is not None]
        if errors:
            raise next((e for e in errors if not isinstance(e, CancelledError)), errors[0])
