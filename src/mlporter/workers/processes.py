"""Processes on this machine: hashing and small files past the lock of one interpreter.

Each process belongs to a thread that gives it one task at a time. So it is known whose task a
process had when it was killed: that one is given to another process, and nobody else notices.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from mlporter.stopping import Pool
from mlporter.workers.task_pool import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.workers.task_pool import Executor, PendingTask

__all__ = ["ATTEMPTS", "Processes"]

A = TypeVar("A")
X = TypeVar("X")

ATTEMPTS = 3
"""Workers that may be lost over one task."""


class Processes:
    """So many processes, started with the first tasks; see `TaskPool` in `workers.task_pool`.

    They are kept for the next tasks until `close`: starting one takes longer than most tasks.
    """

    is_elsewhere = True

    def __init__(self, width: int) -> None:
        self.width = width
        self._idle: list[_Process] = []

    @contextmanager
    def started(self, *, waits: bool) -> Iterator[Executor]:
        """What takes tasks; see `TaskPool.started`."""
        kind = ThreadPoolExecutor if waits else Pool
        idle, self._idle = self._idle, []
        running = _Running(idle)
        try:
            with kind(self.width, "mlporter-process") as pool:
                yield _ProcessExecutor(pool, running)
        except BaseException:
            running.end()  # somebody may still be at work
            raise
        self._idle += running.all

    def close(self) -> None:
        """End them."""
        idle, self._idle = self._idle, []
        _Running(idle).end()

    def check_sees(self, folder: str) -> None:
        """They see what this process sees."""


class _Running:
    """Processes, each of which works for one thread."""

    def __init__(self, idle: list[_Process]) -> None:
        self.all = list(idle)
        self._idle = idle
        self._mine = threading.local()
        self._lock = threading.Lock()

    def do(self, task: Callable[[X], A], data: X) -> A:
        """Have a task done by the process of this thread."""
        process = self._process()
        for _ in range(ATTEMPTS):
            with suppress(BrokenProcessPool):
                return process.do(task, data)
            process.begin_anew()
        raise WorkerLostError(f"{ATTEMPTS} processes were killed while they worked on it")

    def _process(self) -> _Process:
        process: _Process | None = getattr(self._mine, "process", None)
        if process is None:
            with self._lock:
                process = self._idle.pop() if self._idle else None
                if process is None:
                    process = _Process()
                    self.all.append(process)
            self._mine.process = process
        return process

    def end(self) -> None:
        """End all of them."""
        for process in self.all:
            process.end()


class _ProcessExecutor:
    """Tasks for threads that have a process each."""

    def __init__(self, pool: ThreadPoolExecutor, running: _Running) -> None:
        self._pool = pool
        self._running = running

    def submit(self, task: Callable[[X], A], data: X, /) -> PendingTask[A]:
        return self._pool.submit(self._running.do, task, data)


class _Process:
    """One process, and another one when it was killed."""

    def __init__(self) -> None:
        self._pool = _new()

    def do(self, task: Callable[[X], A], data: X) -> A:
        return self._pool.submit(task, data).result()

    def begin_anew(self) -> None:
        self.end()
        self._pool = _new()

    def end(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _new() -> ProcessPoolExecutor:
    # Not forked: this process has threads, whose locks a fork would take along as they are.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """A terminal sends Ctrl-C to all processes: the one that was started ends the others.

    If it is killed itself, they end too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
