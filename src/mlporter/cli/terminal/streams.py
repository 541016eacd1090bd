"""Stdout and stderr whose reader may go away (`| head`): that ends the command, and is no error.

Whoever writes, and wherever: a result, the help, a log line in the middle of a request to a server.
A broken pipe is an `OSError`, which would there be taken for the network's and tried again; so it
becomes an interrupt of its own.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlporter.errors import ExitCode, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from _typeshed import ReadableBuffer

__all__ = ["ReaderGone", "guarded_streams", "last_words", "pause", "reader_has_gone"]
__all__ += ["write_bytes"]

_A_DAY = 86_400
_STDOUT = 1


class ReaderGone(KeyboardInterrupt):
    """Nobody reads what the command writes any more.

    A `KeyboardInterrupt`, as it says the same to the code that it stops.
    """

    exit_code = ExitCode.SIGPIPE


_gone = threading.Event()


def reader_has_gone() -> bool:
    """Whether that is why the main thread is interrupted."""
    return _gone.is_set()


class _Pipe(io.FileIO):
    """Writes until the reader is gone, or the disk is full; then into nothing.

    For more is written at the end.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            self._write_into_nothing()
        except OSError as error:
            self._write_into_nothing()
            if self.fileno() == _STDOUT:  # nobody could be told that stderr cannot be written
                message = f"cannot be written: {error.strerror or error}"
                raise UnreachableError(message, subject="stdout") from error
            return memoryview(data).nbytes
        if not _gone.is_set():
            _gone.set()
            if threading.current_thread() is threading.main_thread():
                raise ReaderGone
            # The main thread sees a signal even while it waits for this one.
            signal.pthread_kill(_main_thread(), signal.SIGINT)
        return memoryview(data).nbytes

    def _write_into_nothing(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)


def pause(seconds: float) -> None:
    """Wait; who reads what the command says may go away meanwhile, and then it ends at once.

    Raises:
        ReaderGone: so it was.
    """
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Pipe) or not hasattr(select, "poll"):
        time.sleep(seconds)
        return
    reader = select.poll()
    reader.register(raw.fileno(), 0)  # what is said without being asked: errors
    if reader.poll(min(seconds, _A_DAY) * 1000):
        _gone.set()
        raise ReaderGone


def _main_thread() -> int:
    found = threading.main_thread().ident
    if found is None:
        raise RuntimeError("the main thread has not begun")
    return found


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard stdout and stderr; terminals do not go away alone."""
    _gone.clear()
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    guarded = {name: _guarded(stream) for name, stream in before.items() if _is_pipe(stream)}
    for name, stream in guarded.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in guarded.items():
            with last_words():
                stream.flush()
            setattr(sys, name, before[name])


@contextmanager
def last_words() -> Iterator[None]:
    """The last that a command writes: it ends as it would if somebody read all of it."""
    with suppress(ReaderGone):
        yield


def write_bytes(chunks: Iterable[bytes]) -> None:
    """Write bytes to stdout as the last that a command writes."""
    with last_words():
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _is_pipe(stream: TextIO) -> bool:
    """Whether its reader may go away. Windows has no such pipes."""
    try:
        stream.fileno()
    except OSError:
        return False
    return not stream.isatty() and hasattr(signal, "pthread_kill")


def _guarded(stream: TextIO) -> TextIO:
    stream.flush()
    raw = _Pipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream is sys.stderr,
    )
