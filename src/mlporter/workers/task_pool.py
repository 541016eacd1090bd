"""What all kinds of workers can do, and what is given to them.

A *task* is a function of a module and some plain data: where a file is, where it goes. It says no
password and holds nothing that is open, so that it can be sent to another process: that opens
places by its own environment, and answers with plain data. Threads are given the very same tasks,
with what is open already in the place of what says where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from mlporter.errors import MlporterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["Executor", "PendingTask", "TaskPool", "WorkerLostError"]

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
X = TypeVar("X")


class WorkerLostError(MlporterError):
    """Every worker that was given a task ended before it was done; others go on."""


class PendingTask(Protocol[A_co]):
    """A task that was handed out."""

    def result(self) -> A_co:
        """Its answer, once it is there.

        Raises:
            WorkerLostError: the workers that had it were killed.
            UnreachableError: nobody can say any more: the scheduler is gone.
            Exception: what the task raised.
        """

    def cancel(self) -> bool:
        """Do not begin it, if it has not begun; whether it has not."""


class Executor(Protocol):
    """Takes tasks, as `concurrent.futures.Executor` does. The caller bounds how many wait."""

    def submit(self, task: Callable[[X], A], data: X, /) -> PendingTask[A]:
        """Hand a task out."""


class TaskPool(Protocol):
    """Workers."""

    @property
    def width(self) -> int:
        """How many tasks are done at a time."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether tasks are done by other processes."""

    def started(self, *, waits: bool) -> AbstractContextManager[Executor]:
        """What takes tasks, for as long as the ``with`` lasts.

        With `waits`, tasks that have begun are waited for, come what may: what they wrote is taken
        back afterwards.
        """

    def check_sees(self, folder: str) -> None:
        """Make sure that the workers see a folder of this machine.

        Raises:
            RefusedError: they are on machines that do not.
        """
