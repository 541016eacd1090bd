"""One writer at a time: a lock that the system frees when its process ends, and who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mlporter.bundle.folder.atomic import disk_errors, make_folder, write_atomic
from mlporter.bundle.folder.files import read_inside
from mlporter.bundle.folder.layout import JOURNAL, LOCK, OWNER, WORK
from mlporter.errors import BundleError, BundleInUseError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BundleLock", "check_not_in_use", "utc_now"]


class BundleLock:
    """The writer's lock on a bundle. `acquire` it before anything in the directory is changed."""

    def __init__(self, root: Path) -> None:
        """Name the lock of the bundle in `root`; nothing is touched yet."""
        self._root = root
        self._lock = FileLock(root / LOCK, thread_local=False)

    def acquire(self) -> None:
        """Take the lock at once and say in ``owner.json`` who holds it.

        Raises:
            BundleInUseError: another process, or another writer in this one, holds it.
            UnreachableError: the directory cannot be written to.
        """
        make_folder(self._root / WORK)
        _try_lock(self._root, self._lock)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": utc_now()}
        try:
            write_atomic(self._root / OWNER, json.dumps(owner).encode() + b"\n")
        except UnreachableError:
            self.release()
            raise

    def release(self) -> None:
        """Free the lock, and leave the folder for a later ``--resume``."""
        with contextlib.suppress(OSError):
            (self._root / OWNER).unlink(missing_ok=True)
        self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether it was acquired and not freed."""
        return self._lock.is_locked

    def moved_to(self, root: Path) -> None:
        """Say that the directory was renamed; the lock is still held."""
        self._root = root

    def remove(self) -> None:
        """Remove the working folder and free the lock: the bundle is finished."""
        for name in (JOURNAL, OWNER):
            (self._root / name).unlink(missing_ok=True)
        # Unlinked while it is held, so that whoever waits for it finds that it is gone.
        with contextlib.suppress(PermissionError):
            (self._root / LOCK).unlink(missing_ok=True)
        self._lock.release()
        shutil.rmtree(self._root / WORK, ignore_errors=True)


def check_not_in_use(root: Path) -> None:
    """Look whether somebody is writing the bundle in `root`; changes nothing.

    Raises:
        BundleInUseError: somebody is.
    """
    if not (root / LOCK).is_file():
        return
    lock = FileLock(root / LOCK, thread_local=False)
    # Whoever cannot open the lock for writing cannot ask; then the owner's note has to do.
    with contextlib.suppress(UnreachableError):
        _try_lock(root, lock)
        lock.release()


def utc_now() -> str:
    """The time now in UTC, as ISO 8601 with seconds and ``Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _try_lock(root: Path, lock: FileLock) -> None:
    with disk_errors(root):
        try:
            lock.acquire(timeout=0)
        except Timeout:  # an OSError, too
            raise _in_use(root) from None


def _in_use(root: Path) -> BundleInUseError:
    who = "another process"
    with contextlib.suppress(BundleError, UnreachableError, ValueError, KeyError, TypeError):
        owner = json.loads(read_inside(root, OWNER, 10_000))
        who = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    message = f"{who} is writing this bundle"
    return BundleInUseError(message, subject=str(root), hint="wait until it finishes")
