"""Locks in a storage: a small object that its holder renews, and that counts no more when it ended.

One that was not renewed for `EXPIRES` seconds is nobody's any more, as is one of a process of this
machine that has ended.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from mlporter.bundle.folder.lock import utc_now
from mlporter.errors import BundleDamagedError, MlporterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.bundle.storage.protocol import Storage, StoredObject

__all__ = ["EXPIRES", "StorageLock", "is_over", "owner_of", "who_holds"]

EXPIRES = 900.0
"""Seconds without renewal after which a lock counts no more."""
_RENEWED = 60.0
_MOST = 2**16
"""The most bytes of a lock."""


class StorageLock:
    """A lock that is held."""

    def __init__(self, storage: Storage, path: str) -> None:
        """Take it, whoever has it; who may is for the caller to say."""
        self._storage = storage
        self.path = path
        self._owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": utc_now(),
            "id": uuid.uuid4().hex,
        }
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lock", daemon=True)

    def take(self) -> bool:
        """Take it, unless somebody has it."""
        taken = self._storage.put_new(self.path, self._data())
        if taken:
            self._thread.start()
        return taken

    def take_over(self) -> None:
        """Take it, whoever had it."""
        self._storage.put(self.path, self._data())
        self._thread.start()

    @property
    def is_held(self) -> bool:
        """Whether nobody has taken it away."""
        found = owner_of(self._storage, self.path)
        return found is not None and found.get("id") == self._owner["id"]

    def release(self) -> None:
        """Give it back; never fails."""
        self._stop()
        with suppress(MlporterError):
            self._storage.remove([self.path])

    def leave(self) -> None:
        """Let others see that somebody was at work here, and is not any more; never fails."""
        self._stop()
        with suppress(MlporterError):
            self._storage.put(self.path, self._data(ended=True))

    def _stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _data(self, *, ended: bool = False) -> bytes:
        owner = {**self._owner, "renewed": utc_now(), **({"ended": True} if ended else {})}
        return json.dumps(owner).encode() + b"\n"

    def _renew(self) -> None:
        while not self._ended.wait(_RENEWED):
            # A place that fails now may answer the next time; `is_held` tells in the end.
            with suppress(MlporterError):
                if self.is_held:
                    self._storage.put(self.path, self._data())


def owner_of(storage: Storage, path: str) -> dict[str, Any] | None:
    """Who holds a lock, or None if it is gone."""
    try:
        owner = json.loads(storage.read(path, _MOST))
    except BundleDamagedError:
        return None
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def who_holds(owner: Mapping[str, Any]) -> str:
    """The holder of a lock, in a sentence."""
    return f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"


def is_over(found: StoredObject, owner: Mapping[str, Any]) -> bool:
    """Whether a lock counts no more."""
    age = (datetime.now(timezone.utc) - found.modified).total_seconds()
    if age > EXPIRES or owner.get("ended") is True:
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
