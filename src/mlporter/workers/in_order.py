"""Many tasks through a few workers: in order, and with few of them in memory at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from mlporter.workers.task_pool import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlporter.workers.task_pool import PendingTask, TaskPool

__all__ = ["answers_in_order"]

A = TypeVar("A")
X = TypeVar("X")

_AHEAD = 2
"""Tasks that are handed out before the one whose answer is awaited, per worker."""


def answers_in_order(
    pool: TaskPool, do: Callable[[X], A], tasks: Iterable[X], *, failed: Callable[[A], bool]
) -> Iterator[A]:
    """The answers to tasks, in their order.

    Args:
        pool: Who does them.
        do: What is done with each: a function of a module.
        tasks: Taken as workers get free; plain data, where the workers are other processes.
        failed: Whether another process could not do it: then this one tries.
    """
    pending: deque[tuple[X, PendingTask[A]]] = deque()

    def answer() -> A:
        task, handed = pending.popleft()
        try:
            answered = handed.result()
        except WorkerLostError:
            return do(task)
        return do(task) if pool.is_elsewhere and failed(answered) else answered

    with pool.started(waits=False) as executor:
        for task in tasks:
            pending.append((task, executor.submit(do, task)))
            if len(pending) >= pool.width * _AHEAD:
                yield answer()
        while pending:
            yield answer()
