"""Calls of a driver that end when the work is interrupted, with the interrupt as their outcome.

In the main thread ADBC takes SIGINT for itself: it cancels the statement, which then fails like
any statement (or, cancelled too late, does not fail), and the interrupt is lost. Any other signal
waits until the call returns. So a call is made in another thread, and the main one waits for it:
there signals arrive as Python's own.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import adbc_driver_manager

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["interruptible"]

T = TypeVar("T")


def interruptible(call: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Make a call that may take long.

    Args:
        call: What to do; it has come to its end when this returns or raises.
        cancel: Makes `call` end early, from another thread.

    Raises:
        KeyboardInterrupt: the work was interrupted meanwhile, whatever became of the call.
    """
    if threading.current_thread() is not threading.main_thread():
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


def _run(call: Callable[[], T], done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(call())
    except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
        done.set_exception(error)
