"""SHA-256 of files of a source: read by threads, or by other processes if there are any."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.errors import MlporterError
from mlporter.stores.protocols import elsewhere
from mlporter.workers.task_pool import WorkerLostError
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import ArtifactFile, Openable, Source
    from mlporter.workers.task_pool import Executor, PendingTask, TaskPool

__all__ = ["AskedSum", "SumReaders", "Unreadable", "hash_file", "sum_readers"]

_WORTH_SENDING = 1 << 20
"""Bytes from which on a file of this machine is handed to another process."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file whose bytes could not be read, and why."""

    reason: str


def hash_file(source: Source, file: ArtifactFile) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with source.open_file(file) as stream:
        return hash_stream(stream)[0]


@contextmanager
def sum_readers(pool: TaskPool | None, workers: int) -> Iterator[SumReaders]:
    """Who reads files, for as long as the ``with`` lasts.

    Args:
        pool: Other processes that do, if there are any.
        workers: Threads.
    """
    near = Threads(workers)
    pool = pool or near
    with ExitStack() as stack:
        here = stack.enter_context(near.started(waits=False))
        there = stack.enter_context(pool.started(waits=False)) if pool.is_elsewhere else None
        yield SumReaders(here, there, pool, max(workers, pool.width))


@dataclass(frozen=True, slots=True)
class SumReaders:
    """Who reads files: threads, and other processes if there are any; see `sum_readers`."""

    here: Executor
    there: Executor | None
    pool: TaskPool
    width: int

    def ask(self, source: Source, file: ArtifactFile) -> AskedSum:
        """Have a file read; a small one of this machine is sooner read than handed over."""
        found = None if self.there is None else elsewhere(source, file)
        if found is not None and found.folder and file.size < _WORTH_SENDING:
            found = None
        if found is None or self.there is None:
            return AskedSum(source, file, self.here.submit(_sum, (source, file)))
        if found.folder:
            self.pool.check_sees(found.folder)
        return AskedSum(source, file, self.there.submit(_sum_there, found), is_there=True)


@dataclass(frozen=True, slots=True)
class AskedSum:
    """A file that is being read."""

    source: Source
    file: ArtifactFile
    handed: PendingTask[str | Unreadable]
    is_there: bool = False

    def result(self) -> str | Unreadable:
        """Its hash; what no other process could read is read here."""
        try:
            found = self.handed.result()
        except WorkerLostError:
            return _sum((self.source, self.file))
        is_lost = self.is_there and isinstance(found, Unreadable)
        return _sum((self.source, self.file)) if is_lost else found


def _sum(given: tuple[Source, ArtifactFile]) -> str | Unreadable:
    try:
        return hash_file(*given)
    except OSError as error:
        return Unreadable(error.strerror or type(error).__name__)


def _sum_there(found: Openable) -> str | Unreadable:
    try:
        with found.open() as stream:
            return hash_stream(stream)[0]
    except (OSError, MlporterError, ImportError) as error:
        return Unreadable(f"{type(error).__name__}: {error}")
