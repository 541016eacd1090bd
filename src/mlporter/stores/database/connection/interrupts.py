"""Calls of a driver that end when the work is interrupted, with the interrupt as their outcome.

In the main thread ADBC takes SIGINT for itself: it cancels the statement, which then fails like
any statement (or, cancelled too late, does not fail), and the interrupt is lost. Any other signal
waits until the call returns. So a call is made in another thread, and the main one waits for it:
there signals arrive as Python's own.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import adbc_driver_manager

from mlporter import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["interruptible"]

T = TypeVar("T")


def interruptible(call: Callable[[], T], cancel: Callable[[], None], *, reads: bool = False) -> T:
    """Make a call that may take long.

    Args:
        call: What to do; it has come to its end when this returns or raises.
        cancel: Makes `call` end early, from another thread.
        reads: Whether it changes nothing, so that it is cancelled in other threads, too. A commit
            that has begun in one is not.

    Raises:
        KeyboardInterrupt: the work was interrupted meanwhile, whatever became of the call.
        InterruptedByUserError: the same in another thread, before the call.
    """
    if threading.current_thread() is not threading.main_thread():
        if not reads:
            return call()
        stopping.check()
        with _cancelled_when_stopped(cancel):
            return call()
    done: Future[T] = Future()
    try:
        threading.Thread(target=_run, args=(call, done), name="database").start()
        return done.result()
    except KeyboardInterrupt:
        # A call that has not begun will not; one that has comes to its end here.
        if not done.cancel() and not done.done():
            with suppress(adbc_driver_manager.Error):
                cancel()
            wait([done])
        raise


class _Call:
    """A call of another thread than the main one, while it lasts."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._lock = threading.Lock()
        self._lasts = True

    def abort(self) -> None:
        """Cancel it, unless it has ended."""
        with self._lock:
            if self._lasts:
                with suppress(adbc_driver_manager.Error):
                    self._cancel()

    def end(self) -> None:
        """It has ended: what it was made with may be gone."""
        with self._lock:
            self._lasts = False


@contextmanager
def _cancelled_when_stopped(cancel: Callable[[], None]) -> Iterator[None]:
    made = _Call(cancel)
    stopping.when_stopped(made)
    try:
        yield
    finally:
        made.end()


def _run(call: Callable[[], T], done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
        done.set_exception(error)
