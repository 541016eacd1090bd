"""Calls of a driver that end when the work is interrupted, with the interrupt as their outcome.

In the main thread ADBC takes SIGINT for itself: it cancels the statement, which then fails like
any statement (or, cancelled too late, does not fail), and the interrupt is lost. Any other signal
waits until the call returns. So a call is made in another thread, and the main one waits for it:
there signals arrive as Python's own. That thread stays for the next call: a transfer of a small
registry makes some eight hundred, and would start as many threads.
"""

from __future__ import annotations

import atexit
import os
import threading
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as WaitedLongError
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import adbc_driver_manager

from mlporter import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["interruptible"]

T = TypeVar("T")

_STEP = 0.3
"""Seconds after which whoever waits looks for signals that did not wake it."""


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
        (_idle.pop() if _idle else _Caller()).calls.put((call, done))
        return _outcome(done)
    except KeyboardInterrupt:
        # A call that has not begun will not; one that has comes to its end here.
        if not done.cancel() and not done.done():
            with suppress(adbc_driver_manager.Error):
                cancel()
            wait([done])
        raise


def _outcome(done: Future[T]) -> T:
    """What became of a call, when it has ended.

    A signal that comes in the moment before a thread begins to wait does not wake it.
    """
    while not done.done():
        # It may also be the call's own error, which the last line raises.
        with suppress(WaitedLongError):
            return done.result(_STEP)
    return done.result()


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


# --- The other thread -----------------------------------------------------------------------------


class _Caller:
    """A thread that makes the calls of the main one, until Python ends."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._make_calls, name="database", daemon=True).start()

    def _make_calls(self) -> None:
        while True:
            # No variable holds on to the last call: its cursors and rows end with it.
            self._make(*self.calls.get())

    def _make(self, call: Callable[[], Any], done: Future[Any]) -> None:
        """Make a call; whoever waits for its end finds this thread idle again."""
        if not done.set_running_or_notify_cancel():
            _idle.append(self)
            return
        _under_way.append(done)
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
            self._end(done)
            done.set_exception(error)
        else:
            self._end(done)
            done.set_result(result)

    def _end(self, done: Future[Any]) -> None:
        _under_way.remove(done)
        _idle.append(self)


_idle: list[_Caller] = []
_under_way: list[Future[Any]] = []


def _forget_threads() -> None:
    """A fork has none of them."""
    _idle.clear()
    _under_way.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
# A second interrupt may have left one behind: Python does not end in the middle of a call.
atexit.register(lambda: wait(list(_under_way)))
