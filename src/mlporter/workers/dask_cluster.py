# ruff: noqa: PLC0415 -- distributed is an extra, and takes long to import
"""Workers of a Dask cluster: one that the user has, or some of this machine."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mlporter.errors import RefusedError, UnreachableError, UnsupportedError
from mlporter.redaction import redact
from mlporter.workers.task_pool import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client, Future

    from mlporter.workers.task_pool import Executor

__all__ = ["DaskWorkers", "asked", "connected"]

A = TypeVar("A")
X = TypeVar("X")

_PATIENCE = 30
"""Seconds for a scheduler to answer, and for the first worker to come."""
_ATTEMPTS = 3
_WIDTH_HOLDS = 5
"""Seconds for which workers are not counted anew."""
_LOOKS, _LOOKS_AGAIN = 5, 0.1
"""Seconds after which it is looked whether there are workers at all, and then again."""
_LOST = (OSError, asyncio.TimeoutError)
"""How it shows that whoever was asked is gone."""
_GONE = "the Dask scheduler is gone, and with it what its workers were at"


@contextmanager
def connected(address: str, local: int = 0) -> Iterator[DaskWorkers]:
    """The workers of a cluster.

    Args:
        address: Of its scheduler, as it was typed.
        local: How many workers to start on this machine instead.

    Raises:
        UnsupportedError: the package is not installed.
        UnreachableError: the scheduler does not answer, or has no workers.
        RefusedError: the workers have another release of mlporter.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UnsupportedError(
            "needs the package distributed, which is not installed",
            subject=f"--dask {redact(address)}",
            hint="pip install 'mlporter[dask]'",
        ) from None
    shown = redact(address)
    if local:
        with (
            LocalCluster(
                n_workers=local,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
                host="127.0.0.1",
                preload=__name__,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield DaskWorkers(client, shown, is_here=True)
        return
    client = Client.__new__(Client)
    try:
        Client.__init__(client, address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, MemoryError, asyncio.TimeoutError) as error:
        # What speaks otherwise, such as Dask's own dashboard, seems to announce exabytes. Nothing
        # was begun that its end could wait for, which it would for a minute.
        client.status = "newly-created"
        raise UnreachableError(
            "no Dask scheduler answers there",
            subject=shown,
            hint="start one with `dask scheduler`, and workers with `dask worker`",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, asyncio.TimeoutError) as error:
            raise UnreachableError(
                "the Dask scheduler has no workers",
                subject=shown,
                hint=f"start some: dask worker {shown}",
            ) from error
        _check_releases(client, shown)
        yield DaskWorkers(client, shown, is_here=False)


def dask_setup(_worker: object) -> None:
    """Called in each worker that was started here: Ctrl-C is for the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_releases(client: Client, shown: str) -> None:
    """Refuse workers that would do something else than is meant here."""
    mine = version("mlporter")
    found = asked(client, shown, _release)
    others = {
        worker: "none" if isinstance(theirs, ImportError) else theirs
        for worker, theirs in found.items()
        if theirs != mine
    }
    if others:
        raise RefusedError(
            f"its workers must have mlporter {mine}, as this machine has",
            subject=shown,
            hint=f"pip install 'mlporter=={mine}' on the workers",
            reasons=tuple(f"{worker}: {theirs}" for worker, theirs in list(others.items())[:10]),
        )


def _release() -> str:
    return version("mlporter")


def asked(
    client: Client, shown: str, question: Callable[..., Any], *about: object
) -> dict[str, Any]:
    """What each worker answers, or what it raised; nothing of one that is killed meanwhile.

    Who comes later is never asked: what it cannot do is done here.

    Raises:
        UnreachableError: the scheduler is gone, or no worker is left to answer.
    """
    with _reached(shown):
        for _ in range(_ATTEMPTS):
            with suppress(asyncio.TimeoutError):
                client.wait_for_workers(1, timeout=_PATIENCE)
            answers: dict[str, Any] = client.run(question, *about, on_error="return")
            there = {w: a for w, a in answers.items() if not isinstance(a, _LOST)}
            if there:
                return there
    raise UnreachableError(
        "no worker of the Dask cluster stays until it has answered",
        subject=shown,
        hint="look into what they log: too little memory, say",
    )


@contextmanager
def _reached(shown: str) -> Iterator[None]:
    try:
        yield
    except _LOST as error:
        raise _gone(shown) from error


def _gone(shown: str) -> UnreachableError:
    return UnreachableError(
        _GONE, subject=shown, hint="start it again, and run this again: it goes on"
    )


class DaskWorkers:
    """The workers of a cluster; see `mlporter.workers.task_pool.TaskPool`."""

    is_elsewhere = True

    def __init__(self, client: Client, shown: str, *, is_here: bool) -> None:
        """Use `connected`."""
        self._client = client
        self._shown = shown
        self._is_here = is_here
        self._seen: set[str] = set()
        self._counted = (0, float("-inf"))

    @property
    def width(self) -> int:
        """Threads of all workers that are there now, or were some seconds ago."""
        width, then = self._counted
        if monotonic() - then > _WIDTH_HOLDS:
            width = max(1, self._threads())
            self._counted = width, monotonic()
        return width

    def _threads(self) -> int:
        """Threads of all workers that are there now."""
        with _reached(self._shown):
            return sum(map(int, self._client.nthreads().values()))

    @contextmanager
    def started(self, *, waits: bool) -> Iterator[Executor]:
        """What takes tasks; see `TaskPool.started`."""
        given = _ClusterExecutor(self._client, self._shown, self._threads)
        try:
            yield given
        finally:
            given.end(waits=waits)

    def check_sees(self, folder: str) -> None:
        """Refuse a folder of this machine that workers do not have; see `TaskPool.check_sees`."""
        folder = os.path.abspath(folder)  # noqa: PTH100 -- a text; workers are in another folder
        if self._is_here or folder in self._seen:
            return
        mine = _sight(folder)
        answers = asked(self._client, self._shown, _sight, folder)
        blind = [worker for worker, theirs in answers.items() if theirs != mine]
        if blind:
            raise RefusedError(
                "lies on this machine, and the workers of the Dask cluster do not see it",
                subject=folder,
                hint="use object storage or a shared disk, or leave --dask out (--dask local:N "
                "starts workers on this machine)",
                reasons=tuple(sorted(blind)[:10]),
            )
        self._seen.add(folder)


def _sight(folder: str) -> tuple[int, int] | str:
    """What tells a folder from another one of that name: a shared disk shows both alike."""
    try:
        found = os.stat(folder)  # noqa: PTH116 -- a text, as it was sent
    except OSError:
        return socket.gethostname()
    return found.st_ino, found.st_mtime_ns


def _unpacked(task: Callable[[X], A], data: bytes) -> A:
    # Bytes that this command's own process sent over the user's own cluster.
    return task(pickle.loads(data))  # noqa: S301


class _ClusterExecutor:
    """Tasks that a cluster was given in one go."""

    def __init__(self, client: Client, shown: str, threads: Callable[[], int]) -> None:
        self._client = client
        self._shown = shown
        self._threads = threads
        self._open: set[Future] = set()
        self._empty_since: float | None = None

    def submit(self, task: Callable[[X], A], data: X, /) -> _Task[A]:
        try:
            # As bytes, which nobody on the way unpacks: what fails then fails in the task. Not
            # remembered by its content: files may have changed since the last time.
            future = self._client.submit(_unpacked, task, pickle.dumps(data), pure=False)
        except (OSError, RuntimeError) as error:
            raise _gone(self._shown) from error
        self._open.add(future)
        return _Task(future, self)

    def result(self, future: Future) -> Any:  # noqa: ANN401 -- whatever the task answers
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        # A worker may also be lost when its answer is there, and not here yet.
        coming = asyncio.run_coroutine_threadsafe(
            self._client.gather(future, asynchronous=True), self._client.loop.asyncio_loop
        )
        try:
            while not wait([coming], self._looks_after()).done:
                if self._are_all_gone():
                    self._client.cancel([future], force=True)
                    raise WorkerLostError("the cluster has no workers any more")
            return coming.result()
        except KilledWorker as error:
            raise WorkerLostError("several workers were killed while they worked on it") from error
        except FutureCancelledError as error:
            raise _gone(self._shown) from error
        finally:
            coming.cancel()
            self._open.discard(future)
            future.release()

    def _looks_after(self) -> float:
        """Seconds after which it is looked whether there are workers."""
        return _LOOKS if self._empty_since is None else _LOOKS_AGAIN

    def _are_all_gone(self) -> bool:
        """Whether there was no worker for so long that none is waited for any more."""
        if self._threads():
            self._empty_since = None
        elif self._empty_since is None:
            self._empty_since = monotonic()
        return self._empty_since is not None and monotonic() - self._empty_since >= _PATIENCE

    def end(self, *, waits: bool) -> None:
        """Forget what was not asked for; with `waits`, when no worker is at it any more."""
        left, self._open = self._open, set()
        until = monotonic() + _PATIENCE
        if left and waits and self._client.status == "running":
            with suppress(OSError):
                for future in left:
                    _is_over(future, max(0, until - monotonic()))
        if left and self._client.status == "running":
            self._client.cancel(list(left), force=True)


def _is_over(future: Future, seconds: float) -> bool:
    """Whether a task is over, whatever became of it, when it was waited for so long."""
    from distributed.client import FutureCancelledError

    with suppress(asyncio.TimeoutError, FutureCancelledError):
        future.exception(timeout=seconds)
    return bool(future.done())


@dataclass(frozen=True)
class _Task(Generic[A]):
    """A task that a cluster was given; see `PendingTask`."""

    future: Future
    given: _ClusterExecutor

    def result(self) -> A:
        answer: A = self.given.result(self.future)
        return answer

    def cancel(self) -> bool:
        return False
