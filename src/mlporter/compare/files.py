"""Files of two sources: paired by owner and path, then compared by size and, if asked, content.

Bytes are read only where they decide: of files that both sides have, with the same size, and
whose hash a side does not know. Several are read at once; results come in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from mlporter.catalogue.tables.own import ARTIFACTS
from mlporter.compare.file_sums import AskedSum, SumReaders, Unreadable, sum_readers
from mlporter.compare.report import (
    DIFFER,
    ONLY_LEFT,
    ONLY_RIGHT,
    UNREADABLE,
    Difference,
    TableCounts,
)
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from mlporter.compare.rows.streams import OnDifference
    from mlporter.compare.scope import CompareOptions
    from mlporter.stores.protocols import ArtifactFile, Report, Source

__all__ = ["OnFiles", "compare_files"]

OnFiles = Callable[[int], None]
"""Called with how many files were compared so far."""

_AHEAD = 8
"""Pairs in flight, for each worker."""

_TELL_EVERY = 64


@dataclass(frozen=True, slots=True)
class _Pair:
    """A file on both sides, or on one."""

    left: ArtifactFile | None
    right: ArtifactFile | None


_Sum = str | Unreadable | None
_Pending = tuple[_Pair, "AskedSum | str | None", "AskedSum | str | None"]


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
    with sum_readers(options.pool, options.workers) as readers:
        for pair in pairs:
            pending.append(_submit(readers, left, right, pair, options))
            if len(pending) >= readers.width * _AHEAD:
                yield _settled(pending.popleft())
        while pending:
            yield _settled(pending.popleft())


def _submit(
    readers: SumReaders, left: Source, right: Source, pair: _Pair, options: CompareOptions
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


def _settled(pending: _Pending) -> tuple[_Pair, _Sum, _Sum]:
    pair, mine, theirs = pending
    return (
        pair,
        mine.result() if isinstance(mine, AskedSum) else mine,
        theirs.result() if isinstance(theirs, AskedSum) else theirs,
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
        if isinstance(found, Unreadable)
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
