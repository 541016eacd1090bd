"""Who is at work in a repository: any number of backups, or one that removes things."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from mlporter.bundle.storage.locks import EXPIRES, StorageLock, is_over, owner_of, who_holds
from mlporter.errors import RepositoryInUseError
from mlporter.repository.layout import LOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.storage.protocol import Storage

__all__ = ["EXPIRES", "Lock", "locked"]

Work = Literal["backup", "prune"]


class Lock(StorageLock):
    """A lock that is held: its name says for what work."""

    def __init__(self, storage: Storage, work: Work) -> None:
        super().__init__(storage, f"{LOCKS}/{work}-{uuid.uuid4().hex}.json")
        self.take_over()

    def check(self) -> None:
        """Make sure that it was not taken away.

        Raises:
            RepositoryInUseError: it was not renewed for too long, and somebody removed it.
        """
        if not self.is_held:
            raise RepositoryInUseError(
                "the lock of this work expired, and was removed by somebody else",
                subject=self._storage.name,
                hint="run the same command again: what was stored is found there",
            )


@contextmanager
def locked(storage: Storage, work: Work, *, append_only: bool = False) -> Iterator[Lock | None]:
    """Hold a lock while something is done; none where nothing can be removed anyway.

    Raises:
        RepositoryInUseError: somebody does what this cannot be done beside.
    """
    if append_only:
        yield None
        return
    lock = Lock(storage, work)
    try:
        _refuse_others(storage, work, lock)
        yield lock
    finally:
        lock.release()


def _refuse_others(storage: Storage, work: Work, mine: Lock) -> None:
    for found in storage.walk(LOCKS):
        other = found.path.removeprefix(f"{LOCKS}/").partition("-")[0]
        if found.path == mine.path or (work, other) == ("backup", "backup"):
            continue
        owner = owner_of(storage, found.path)
        if owner is None or is_over(found, owner):
            storage.remove([found.path])
            continue
        raise RepositoryInUseError(
            f"{'a backup' if other == 'backup' else 'pruning'} is under way: {who_holds(owner)}",
            subject=storage.name,
            hint="wait for it, or see docs/backups.md on locks that somebody left",
        )
