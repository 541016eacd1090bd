"""Removing what no snapshot names, in an order in which a crash loses nothing.

New packs and a new index first, then the old index, then what nothing names any more. Whatever is
cut short, what is left over is nobody's, and the next one removes it.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from mlporter.bundle.contents.index import row_of
from mlporter.bundle.contents.packs import PackBuilder
from mlporter.bundle.folder.layout import PACKS, name_in, pack_path
from mlporter.progress import OnProgress, silent
from mlporter.repository.layout import (
    CONTENT_FOLDERS,
    INDEX,
    PARTS,
    SNAPSHOT,
    SNAPSHOTS,
)
from mlporter.repository.repository import put_index
from mlporter.repository.used import Used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.storage.protocol import Storage
    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import Repository

__all__ = ["Pruned", "prune"]

Row = tuple[str, str, int, int]

_WORTH_IT = 0.5
"""The share of a pack that is still needed below which it is written anew."""
_AT_ONCE = 500
_PIECE = 200_000
"""Contents of a piece of the index."""
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be: objects and their bytes; and packs that were written anew."""

    objects: int = 0
    bytes: int = 0
    rewritten: int = 0


def prune(
    repository: Repository,
    kept: tuple[Snapshot, ...],
    *,
    grace: timedelta,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Pruned:
    """Remove whatever the snapshots that are kept do not name; the lock is held.

    Args:
        repository: The repository; its index is loaded.
        kept: All snapshots that stay.
        grace: What was written so recently stays, for a backup whose lock was lost.
        dry_run: Only count.
        on_progress: Called with how far it is.

    Raises:
        BundleDamagedError: a snapshot is damaged: nothing is removed then.
        UnreachableError: the place fails; what was left over is removed the next time.
    """
    storage = repository.storage
    young = datetime.now(timezone.utc) - grace
    old_pieces = [found.path for found in storage.walk(INDEX)]
    on_progress("looking for what is needed", 0, None, "files")
    with closing(Used(repository, kept)) as used:
        packs = _pack_uses(repository, used)
        rewritten = {
            pack for pack, use in packs.items() if use.contents and use.needed < _WORTH_IT * use.all
        }
        if not dry_run:
            _write_new_index(repository, used, rewritten, old_pieces)
        gone = [
            (path, size)
            for path, size, modified in _objects(storage)
            if modified < young and not _is_needed(path, used, packs, rewritten, kept)
        ]
    if not dry_run:
        for start in range(0, len(gone), _AT_ONCE):
            storage.remove(path for path, _ in gone[start : start + _AT_ONCE])
            on_progress("removing", start, len(gone), "files")
    return Pruned(len(gone), sum(size for _, size in gone), len(rewritten))


@dataclass
class _Use:
    """What of a pack is needed: how many contents, their bytes, and those of all in it.

    Contents are counted, too: an empty file is one.
    """

    contents: int = 0
    needed: int = 0
    all: int = 0


def _pack_uses(repository: Repository, used: Used) -> dict[str, _Use]:
    """What of each pack is needed."""
    found: dict[str, _Use] = {}
    for sha256, pack, _, size in repository.index.rows():
        if pack:
            use = found.setdefault(pack, _Use())
            use.all += size
            if used.has_content(sha256):
                use.contents += 1
                use.needed += size
    return found


def _write_new_index(
    repository: Repository, used: Used, rewritten: set[str], old_pieces: list[str]
) -> None:
    """Write what is needed of `rewritten` packs into new ones, then an index of all that stays."""
    storage = repository.storage
    pieces = set()
    pending: list[Row] = []
    for row in _rows_that_stay(repository, used, rewritten):
        pending.append(row)
        if len(pending) >= _PIECE:
            pieces.add(put_index(storage, pending))
            pending = []
    if pending:
        pieces.add(put_index(storage, pending))
    storage.remove([path for path in old_pieces if path not in pieces])


def _rows_that_stay(repository: Repository, used: Used, rewritten: set[str]) -> Iterator[Row]:
    builder = PackBuilder()
    for sha256, pack, offset, size in repository.index.rows():
        if not used.has_content(sha256):
            continue
        if pack not in rewritten:
            yield sha256, pack, offset, size
            continue
        with repository.contents.open(sha256, size) as file:
            builder.add(sha256, file.read())
        if builder.is_full:
            yield from _put(repository, builder)
            builder = PackBuilder()
    if builder.members:
        yield from _put(repository, builder)


def _put(repository: Repository, builder: PackBuilder) -> Iterator[Row]:
    name, data = builder.close()
    repository.storage.put(pack_path(name), data)
    for member in builder.members:
        yield row_of(name, member)


def _objects(storage: Storage) -> Iterator[tuple[str, int, datetime]]:
    for folder in (*CONTENT_FOLDERS, PARTS, SNAPSHOTS):
        for found in storage.walk(folder):
            yield found.path, found.size, found.modified


def _is_needed(
    path: str,
    used: Used,
    packs: dict[str, _Use],
    rewritten: set[str],
    kept: tuple[Snapshot, ...],
) -> bool:
    """Whether a snapshot that stays names an object; what nobody of ours wrote is left alone."""
    folder, _, rest = path.partition("/")
    if folder == SNAPSHOTS:
        # Documents of a backup that never ended: those of others are removed as they are forgotten.
        return rest.split("/")[0] in {snapshot.name for snapshot in kept} or path.endswith(SNAPSHOT)
    name = name_in(rest)
    if not _HASH.fullmatch(name):
        return True
    if folder == PARTS:
        return used.has_part(name)
    if folder == PACKS:
        return name not in rewritten and name in packs and packs[name].contents > 0
    return used.has_content(name)
