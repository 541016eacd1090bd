"""A file that tells, at its end, if somebody wrote to it while it was read."""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ChangedWhileReadError", "StableFile"]


class ChangedWhileReadError(OSError):
    """What was read is neither what the file was before, nor what it is now."""


class StableFile(io.FileIO):
    """A raw file whose end cannot be read if its size or time changed since it was opened.

    Raises (when reading):
        ChangedWhileReadError: in place of the end.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        super().__init__(descriptor, "rb")
        found = os.fstat(descriptor)
        self.is_regular = stat.S_ISREG(found.st_mode)
        self._before = found.st_size, found.st_mtime_ns

    def readinto(self, buffer: Buffer) -> int:
        """Bytes read into `buffer`; 0 at the end."""
        size = super().readinto(buffer)
        if not size:
            self._check()
        return size

    def readall(self) -> bytes:
        """All that is left."""
        content = super().readall()
        self._check()
        return content

    def _check(self) -> None:
        if self._state() != self._before:
            raise ChangedWhileReadError(errno.EBUSY, "somebody wrote to it while it was read")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self.fileno())
        return found.st_size, found.st_mtime_ns
