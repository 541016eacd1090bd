"""A new SQLite file, made beside its name and given it when everything is in it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mlporter.artifacts.disk.presence import is_folder, is_there
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Staging"]

_SUFFIXES = ("", "-wal", "-shm", "-journal")


class Staging:
    """The place where one process at a time makes a new SQLite file.

    Attributes:
        path: Where it is made: in the folder of its name, so that one rename is enough.
    """

    def __init__(self, name: Path, subject: str) -> None:
        """Take the place, and clear away what a process that was killed left there.

        Args:
            name: The file to be; there is none of that name, or an empty one.
            subject: What it is called in errors.

        Raises:
            RefusedError: another process is making it, or has made it meanwhile.
            UnreachableError: there is no such folder, or it cannot be written.
        """
        if not is_folder(name.parent):
            raise UnreachableError(
                f"there is no folder {name.parent}", subject=subject, hint="create it first"
            )
        if not os.access(name.parent, os.W_OK):
            raise AccessDeniedError(f"the folder {name.parent} cannot be written", subject=subject)
        self.path = name.with_name(f".{name.name}.mlporter-new")
        self._name = name
        self._subject = subject
        self._lock = FileLock(name.with_name(f".{name.name}.mlporter-lock"), thread_local=False)
        self._take()
        try:
            self._check()
        except RefusedError:
            self.remove()
            raise
        self._clear()

    def settle(self) -> None:
        """Give the file its name: it is there at once and whole.

        Raises:
            RefusedError: somebody else took the name meanwhile; nothing is left of this one.
            UnreachableError: the file system fails; nothing is left of this one.
        """
        try:
            self._check()
            self.path.replace(self._name)
        except OSError as error:
            raise UnreachableError(str(error.strerror), subject=self._subject) from error
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove what was made and leave the place; does nothing the second time."""
        if self._lock.is_locked:
            self._clear()
            # Unlinked while it is held: whoever takes a lock that is gone finds the file made.
            with suppress(OSError):
                os.unlink(self._lock.lock_file)  # noqa: PTH108 -- a text
            self._lock.release()

    def _take(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RefusedError(
                "another import into this new database is running",
                subject=self._subject,
                hint="wait until it ends",
            ) from None
        except OSError as error:
            raise UnreachableError(str(error.strerror), subject=self._subject) from error

    def _check(self) -> None:
        if is_there(self._name) and self._name.stat().st_size:
            raise RefusedError(
                "was created by another process in the meantime",
                subject=self._subject,
                hint="run the same command again: it first looks at what is there now",
            )

    def _clear(self) -> None:
        for suffix in _SUFFIXES:
            # On read-only media, taking away what never came would hide why it did not.
            with suppress(OSError):
                self.path.with_name(self.path.name + suffix).unlink()
