"""Who is at work in a repository: any number of backups, or one that removes things.

A lock is a small object that its holder renews. One that was not renewed for `EXPIRES` seconds is
nobody's any more, as is one of a process of this machine that has ended.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from mlporter.bundle.folder.lock import utc_now
from mlporter.errors import BundleDamagedError, MlporterError, RepositoryInUseError
from mlporter.repository.layout import LOCKS, MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.storage.protocol import Storage, StoredObject

__all__ = ["EXPIRES", "Lock", "locked"]

Work = Literal["backup", "prune"]

EXPIRES = 900.0
"""Seconds without renewal after which a lock counts no more."""
_RENEWED = 60.0


class Lock:
    """A lock that is held."""

    def __init__(self, storage: Storage, work: Work) -> None:
        self._storage = storage
        self._path = f"{LOCKS}/{work}-{uuid.uuid4().hex}.json"
        self._since = utc_now()
        self._ended = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """Where it is."""
        return self._path

    def check(self) -> None:
        """Make sure that it was not taken away.

        Raises:
            RepositoryInUseError: it was not renewed for too long, and somebody removed it.
        """
        if self._storage.size(self._path) is None:
            raise RepositoryInUseError(
                "the lock of this work expired, and was removed by somebody else",
                subject=self._storage.name,
                hint="run the same command again: what was stored is found there",
            )

    def release(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join()
        with suppress(MlporterError):
            self._storage.remove([self._path])

    def _write(self) -> None:
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._since,
            "renewed": utc_now(),
        }
        self._storage.put(self._path, json.dumps(owner).encode() + b"\n")

    def _renew(self) -> None:
        while not self._ended.wait(_RENEWED):
            # A place that fails now may answer the next time; `check` tells in the end.
            with suppress(MlporterError):
                if self._storage.size(self._path) is not None:
                    self._write()


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
        owner = _owner(storage, found)
        if owner is None or _is_over(found, owner):
            storage.remove([found.path])
            continue
        who = f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"
        raise RepositoryInUseError(
            f"{'a backup' if other == 'backup' else 'pruning'} is under way: {who}",
            subject=storage.name,
            hint="wait for it, or see docs/backups.md on locks that somebody left",
        )


def _owner(storage: Storage, found: StoredObject) -> dict[str, object] | None:
    """Who holds a lock, or None if it is gone."""
    try:
        owner = json.loads(storage.read(found.path, MAX_DOCUMENT_BYTES))
    except BundleDamagedError:
        return None
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_over(found: StoredObject, owner: dict[str, object]) -> bool:
    age = (datetime.now(timezone.utc) - found.modified).total_seconds()
    if age > EXPIRES:
        return True
    pid = owner.get("pid")
    if owner.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    return not _is_running(pid)


def _is_running(pid: int) -> bool:
    if os.name == "nt" or pid <= 0:
        return True  # nobody can say: it expires
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
