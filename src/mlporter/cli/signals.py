"""SIGINT and SIGTERM stop the work once; what is open is rolled back and closed on the way out."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Terminated", "stopping_on_signals"]

_CLEANING_UP = b"mlporter: stopping and cleaning up; once more to stop at once\n"


class Terminated(KeyboardInterrupt):
    """SIGTERM.

    A `KeyboardInterrupt`, as both say the same to the code that they stop, and because an
    `Exception` could be mistaken for the failure of one object and swallowed (MLflow does so).
    """


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` or `Terminated` on the first signal, and on the third.

    The second only says that the work is being cleaned up: an impatient Ctrl-C in the middle of a
    roll-back would leave the very mess that it is there to prevent.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals, so there is nothing to arrange
        return
    seen = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:  # noqa: PLR2004 -- the second, as the docstring says
            os.write(2, _CLEANING_UP)
            return
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
