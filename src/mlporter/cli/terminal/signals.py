"""SIGINT and SIGTERM stop the work once; what is open is rolled back and closed on the way out."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlporter import stopping
from mlporter.cli.terminal.streams import ReaderGone, reader_has_gone
from mlporter.errors import ExitCode

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

    exit_code = ExitCode.SIGTERM


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` or `Terminated` on the first signal, and on the third.

    The second only says that the work is being cleaned up: an impatient Ctrl-C in the middle of a
    roll-back would leave the very mess that it is there to prevent. All other threads are stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals, so there is nothing to arrange
        return
    seen = 0
    told, tell = os.pipe()
    threading.Thread(target=_stop_others, args=(told,), name="mlporter-stop", daemon=True).start()

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            stopping.ask()
            os.write(tell, b"!")
        if seen == 2:  # noqa: PLR2004 -- the second, as the docstring says
            os.write(2, _CLEANING_UP)
            return
        if reader_has_gone():
            raise ReaderGone
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(tell)
        stopping.let_go_on()


def _stop_others(told: int) -> None:
    """Wait for a signal, and stop other threads: a signal handler may not take locks."""
    if os.read(told, 1):
        stopping.stop()
    os.close(told)
