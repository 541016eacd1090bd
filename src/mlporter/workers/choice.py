"""Which workers somebody asked for."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from mlporter.errors import UsageError
from mlporter.redaction import redact
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.workers.task_pool import TaskPool

__all__ = ["MOST_JOBS", "MOST_PROCESSES", "check_workers", "local_workers", "said_of_workers"]
__all__ += ["task_pool", "usual_jobs"]

MOST_PROCESSES = 256
MOST_JOBS = 64
_USUAL_JOBS = 4
_LOCAL = "local:"


def check_workers(processes: int | None, dask: str | None) -> None:
    """Refuse what makes no sense.

    Raises:
        UsageError: both are asked for; or no number of processes, or no address of a scheduler.
    """
    if processes is not None and dask is not None:
        raise UsageError(
            "--processes and --dask exclude each other", hint="leave one of the two out"
        )
    if processes is not None and not 1 <= processes <= MOST_PROCESSES:
        raise UsageError(f"processes is from 1 to {MOST_PROCESSES}, not {processes}")
    if dask is not None and not local_workers(dask) and "://" not in dask:
        raise UsageError(
            f"{redact(dask)!r} is no address of a Dask scheduler",
            hint="such as tcp://scheduler:8786, or local:4 for four workers on this machine",
        )


def said_of_workers(processes: int | None, dask: str | None) -> str:
    """The option by which other processes were asked for; "" if they were not."""
    if dask:
        return "--dask"
    return "--processes" if processes else ""


def local_workers(dask: str) -> int:
    """How many workers are to be started on this machine; 0 where it is an address."""
    number = dask.removeprefix(_LOCAL)
    if number == dask or not number.isdecimal() or not 1 <= int(number) <= MOST_PROCESSES:
        return 0
    return int(number)


@contextmanager
def task_pool(
    workers: int, processes: int | None = None, dask: str | None = None, *, needed: bool = True
) -> Iterator[TaskPool]:
    """The workers that were asked for: processes, those of a cluster, or else threads.

    Args:
        workers: Threads.
        processes: Processes of this machine.
        dask: The address of a scheduler, or ``local:4``.
        needed: Whether anything is to be handed out; else there are threads whatever was asked.

    Raises:
        UsageError: see `check_workers`.
        UnsupportedError, UnreachableError, RefusedError: the cluster cannot be used.
    """
    check_workers(processes, dask)
    if not needed:
        yield Threads(workers)
    elif dask is not None:
        # An extra, and most do without.
        from mlporter.workers.dask_cluster import connected  # noqa: PLC0415

        with connected(dask, local_workers(dask)) as pool:
            yield pool
    elif processes is not None:
        from mlporter.workers.processes import Processes  # noqa: PLC0415 -- likewise

        with closing(Processes(processes)) as pool_of_processes:
            yield pool_of_processes
    else:
        yield Threads(workers)


def usual_jobs(processors: int | None = None) -> int:
    """How many connections read a large table, unless somebody says it.

    One keeps two processors busy: that of the server, and what decodes and writes the rows.

    Args:
        processors: Of this machine; None are those that there are.
    """
    found = (os.cpu_count() or 1) if processors is None else processors
    return max(1, min(_USUAL_JOBS, found // 2))
