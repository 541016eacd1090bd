"""Files of two sources: paired by owner and path, then compared by size and, if asked, content.

Bytes are read only where they decide: of files that both sides have, with the same size, and
whose hash a side does not know. Several are read at once; results come in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import hash_stream
from mlporter.catalogue.tables.own import ARTIFACTS
from mlporter.compare.report import (
    DIFFER,
    ONLY_LEFT,
    ONLY_RIGHT,
    UNREADABLE,
    Difference,
    TableCounts,
)
from mlporter.errors import BundleDamagedError, MlporterError
from mlporter.stores.protocols import elsewhere
from mlporter.workers.task_pool import WorkerLostError
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from mlporter.compare.rows.streams import OnDifference
    from mlporter.compare.scope import CompareOptions
    from mlporter.stores.protocols import ArtifactFile, Openable, Report, Source
    from mlporter.workers.task_pool import Executor, PendingTask, TaskPool

__all__ = ["OnFiles", "compare_files", "hash_file"]

OnFiles = Callable[[int], None]
"""Called with how many files were compared so far."""

_AHEAD = 8
"""Pairs in flight, for each worker."""
_WORTH_SENDING = 1 << 20
"""Bytes from which on a file of this machine is handed to another process."""

_TELL_EVERY = 64


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A file whose bytes could not be read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Pair:
    """A file on both sides, or on one."""

    left: ArtifactFile | None
    right: ArtifactFile | None


_Sum = str | _Unreadable | None
_Pending = tuple[_Pair, "_Asked | str | None", "_Asked | str | None"]


def compare_files(  # noqa: PLR0913 - two sources, how, and who hears what
    left: Source,
    right: Source,
    options: CompareOptions,
    *,
    on_difference: OnDifference,
    on_left_out: tuple[Report, Report],
    on_files: OnFiles,
) -> TableCounts:
    """Compare all files of two sources.

    Args:
        left: A.
        right: B.
        options: Whether to compare contents, and with how many threads.
        on_difference: Gets the differences by owner and path; a file that cannot be read is ``!``.
        on_left_out: Get what A and B themselves could not list or find.
        on_files: Called now and then with how many were compared.

    Raises:
        BundleDamagedError: a source does not list its files in order, or one twice.
    """
    both = all(source.description.kind == "bundle" for source in (left, right))
    pairs = _pairs(
        *(
            _checked(_owned(source.files(report), orphans=both), side)
            for side, source, report in zip("AB", (left, right), on_left_out, strict=True)
        )
    )
    counts, done = TableCounts(), 0
    for pair, mine, theirs in _summed(left, right, pairs, options):
        difference = _difference(pair, mine, theirs)
        counts = _counted(counts, difference)
        if difference is not None:
            on_difference(difference)
        done += 1
        if done % _TELL_EVERY == 0:
            on_files(done)
    on_files(done)
    return counts


def hash_file(source: Source, file: ArtifactFile) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with source.open_file(file) as stream:
        return hash_stream(stream)[0]


def _owned(files: Iterator[ArtifactFile], *, orphans: bool) -> Iterator[ArtifactFile]:
    """Without files that no row points to: only a bundle has the same ones always."""
    return files if orphans else (file for file in files if file.owner_kind != "orphan")


def _checked(files: Iterator[ArtifactFile], side: str) -> Iterator[ArtifactFile]:
    last: tuple[str, str, str] | None = None
    for file in files:
        key = _key(file)
        if last is not None and key <= last:
            message = f"{side} does not list its files in order, or one twice: {'/'.join(key)}"
            raise BundleDamagedError(message, subject=ARTIFACTS.name)
        last = key
        yield file


def _key(file: ArtifactFile) -> tuple[str, str, str]:
    return (file.owner_kind, file.owner_id, file.path)


def _pairs(left: Iterator[ArtifactFile], right: Iterator[ArtifactFile]) -> Iterator[_Pair]:
    mine, theirs = next(left, None), next(right, None)
    while mine is not None and theirs is not None:
        if _key(mine) < _key(theirs):
            yield _Pair(mine, None)
            mine = next(left, None)
        elif _key(theirs) < _key(mine):
            yield _Pair(None, theirs)
            theirs = next(right, None)
        else:
            yield _Pair(mine, theirs)
            mine, theirs = next(left, None), next(right, None)
    if mine is not None:
        yield from (_Pair(file, None) for file in chain([mine], left))
    if theirs is not None:
        yield from (_Pair(None, file) for file in chain([theirs], right))


def _summed(
    left: Source, right: Source, pairs: Iterator[_Pair], options: CompareOptions
) -> Iterator[tuple[_Pair, _Sum, _Sum]]:
    """The pairs in order, with the hashes where they decide."""
    pending: deque[_Pending] = deque()
    near = Threads(options.workers)
    pool = options.pool or near
    with ExitStack() as stack:
        here = stack.enter_context(near.started(waits=False))
        there = stack.enter_context(pool.started(waits=False)) if pool.is_elsewhere else None
        readers = _Readers(here, there, pool)
        for pair in pairs:
            pending.append(_submit(readers, left, right, pair, options))
            if len(pending) >= max(options.workers, pool.width) * _AHEAD:
                yield _settled(pending.popleft())
        while pending:
            yield _settled(pending.popleft())


@dataclass(frozen=True, slots=True)
class _Readers:
    """Who reads files: threads, and other processes if there are any."""

    here: Executor
    there: Executor | None
    pool: TaskPool

    def ask(self, source: Source, file: ArtifactFile) -> _Asked:
        """Have a file read; a small one of this machine is sooner read than handed over."""
        found = None if self.there is None else elsewhere(source, file)
        if found is not None and found.folder and file.size < _WORTH_SENDING:
            found = None
        if found is None or self.there is None:
            return _Asked(source, file, self.here.submit(_sum, (source, file)))
        if found.folder:
            self.pool.check_sees(found.folder)
        return _Asked(source, file, self.there.submit(_sum_there, found), is_there=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A file that is being read."""

    source: Source
    file: ArtifactFile
    handed: PendingTask[_Sum]
    is_there: bool = False

    def result(self) -> _Sum:
        """Its hash; what no other process could read is read here."""
        try:
            found = self.handed.result()
        except WorkerLostError:
            return _sum((self.source, self.file))
        is_lost = self.is_there and isinstance(found, _Unreadable)
        return _sum((self.source, self.file)) if is_lost else found


def _submit(
    readers: _Readers, left: Source, right: Source, pair: _Pair, options: CompareOptions
) -> _Pending:
    mine, theirs = pair.left, pair.right
    decides = mine is not None and theirs is not None and mine.size == theirs.size
    if options.artifacts != "content" or mine is None or theirs is None or not decides:
        return pair, None, None
    return (
        pair,
        mine.sha256 or readers.ask(left, mine),
        theirs.sha256 or readers.ask(right, theirs),
    )


def _sum(given: tuple[Source, ArtifactFile]) -> _Sum:
    try:
        return hash_file(*given)
    except OSError as error:
        return _Unreadable(error.strerror or type(error).__name__)


def _sum_there(found: Openable) -> _Sum:
    try:
        with found.open() as stream:
            return hash_stream(stream)[0]
    except (OSError, MlporterError, ImportError) as error:
        return _Unreadable(f"{type(error).__name__}: {error}")


def _settled(pending: _Pending) -> tuple[_Pair, _Sum, _Sum]:
    pair, mine, theirs = pending
    return (
        pair,
        mine.result() if isinstance(mine, _Asked) else mine,
        theirs.result() if isinstance(theirs, _Asked) else theirs,
    )


def _difference(pair: _Pair, mine: _Sum, theirs: _Sum) -> Difference | None:
    file = pair.left or pair.right
    if file is None:
        return None
    key: dict[str, object] = dict(zip(ARTIFACTS.key, _key(file), strict=True))
    if pair.left is None or pair.right is None:
        return Difference(ARTIFACTS.name, ONLY_RIGHT if pair.left is None else ONLY_LEFT, key)
    bad = [
        f"{side}: {found.reason}"
        for side, found in (("A", mine), ("B", theirs))
        if isinstance(found, _Unreadable)
    ]
    if bad:
        return Difference(ARTIFACTS.name, UNREADABLE, key, detail="; ".join(bad))
    columns: dict[str, tuple[object, object]] = {}
    if pair.left.size != pair.right.size:
        columns["size"] = (pair.left.size, pair.right.size)
    elif mine != theirs:
        columns["sha256"] = (mine, theirs)
    return Difference(ARTIFACTS.name, DIFFER, key, columns) if columns else None


def _counted(counts: TableCounts, difference: Difference | None) -> TableCounts:
    if difference is None:
        return replace(counts, same=counts.same + 1)
    if difference.sigil == ONLY_LEFT:
        return replace(counts, only_left=counts.only_left + 1)
    if difference.sigil == ONLY_RIGHT:
        return replace(counts, only_right=counts.only_right + 1)
    if difference.sigil == UNREADABLE:
        return replace(counts, unreadable=counts.unreadable + 1)
    return replace(counts, differs=counts.differs + 1)
