"""Stopping all that is under way, in whatever thread: Ctrl-C ends a command within a second.

An interrupt reaches the main thread only. The others go on reading files and waiting for servers,
and Python waits for them: so they look here before each step, and what they wait for is ended.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from mlporter.errors import InterruptedByUserError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "Pool",
    "Waiting",
    "ask",
    "check",
    "has_left",
    "is_asked",
    "let_go_on",
    "stop",
    "when_stopped",
]

_PATIENCE = 0.5
"""Seconds for threads to end, in all."""
_STEP = 0.02

_lock = threading.Lock()
_waiting: WeakSet[Waiting] = WeakSet()
_left: list[threading.Thread] = []


class _State:
    """Plain values: a signal handler sets them, and may take no lock."""

    is_asked = False
    is_done = True
    """Whether all that was waited for has been aborted since it was asked."""


class Waiting(Protocol):
    """What threads may wait for."""

    def abort(self) -> None:
        """Let whoever waits for it fail, now and from now on."""


def when_stopped(waiting: Waiting) -> None:
    """Have something aborted when all is stopped, for as long as somebody else knows it."""
    with _lock:
        _waiting.add(waiting)


def ask() -> None:
    """Ask all other threads to stop; somebody calls `stop` next. For signal handlers."""
    _State.is_done = False
    _State.is_asked = True


def stop() -> None:
    """End what other threads do, and what they wait for. Not to be called by a signal handler."""
    ask()
    try:
        with _lock:
            found = list(_waiting)
        for waiting in found:
            waiting.abort()
    finally:
        _State.is_done = True


def is_asked() -> bool:
    """Whether all is to stop."""
    return _State.is_asked


def let_go_on() -> None:
    """Begin anew, once what was waited for has been aborted: later it would meet what is new."""
    patience = _PATIENCE
    while not _State.is_done and patience > 0:
        time.sleep(_STEP)
        patience -= _STEP
    _State.is_asked = False


def check() -> None:
    """Go on, unless all is to stop; the main thread does, as it cleans up.

    Raises:
        InterruptedByUserError: this thread is to end.
    """
    if _State.is_asked and threading.current_thread() is not threading.main_thread():
        raise InterruptedByUserError("stopped")


def has_left() -> bool:
    """Whether threads were left to themselves that have not ended yet: Python would wait."""
    return any(thread.is_alive() for thread in _left)


class Pool(ThreadPoolExecutor):
    """Threads for what may wait for somebody else; nobody waits long for them after an interrupt.

    For work that does no harm if it ends at any point: what writes to a place that is cleaned up
    afterwards needs a pool that is waited for.
    """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if kind is None:
            return super().__exit__(kind, error, trace)
        self.shutdown(wait=False, cancel_futures=True)
        is_interrupt = isinstance(error, (KeyboardInterrupt, InterruptedByUserError))
        self._wait(is_interrupt=is_interrupt)
        return None

    def _wait(self, *, is_interrupt: bool) -> None:
        """Wait for what was begun; but a moment only once all is to stop."""
        patience = _PATIENCE
        for thread in tuple(self._threads):
            while thread.is_alive() and patience > 0:
                thread.join(_STEP)
                patience -= _STEP if is_interrupt or is_asked() else 0
        _left.extend(thread for thread in self._threads if thread.is_alive())
