"""A copy of an SQLite database to read from, where reading would hold up those who write.

Without a write-ahead log (and MLflow uses none) nobody can commit while somebody reads: MLflow
waits for 20 seconds, and then the training job fails with "database is locked". An export reads
for longer than that. Copying the file takes half a second a gigabyte, so the copy is what is read.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mlporter.errors import UnreachableError

__all__ = ["DatabaseCopy"]

_log = logging.getLogger(__name__)

_HEADER_BYTES = 100
_BLOCK = 64 << 20
"""Bytes that are copied at a time; a signal is heeded in between."""


class DatabaseCopy:
    """A private copy in the system's temporary folder.

    The file is copied as it lies: whoever asks for it holds SQLite's lock for reading meanwhile,
    under which nobody changes it. POSIX takes such locks away from a process that closes the file,
    whoever opened it there: so it stays open here until `close`, which comes after the locks' end.

    Attributes:
        path: Where it is, for its owner only.
    """

    def __init__(self, path: Path, subject: str) -> None:
        """Open a database's file, and copy nothing yet."""
        self.path: Path | None = None
        self._original = path
        self._subject = subject
        self._folder: Path | None = None
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def state(self) -> str | None:
        """What is another text after every change of the file, if it lies where it was opened.

        A transaction counts up a number in the header, by which SQLite itself tells whether what
        it remembers of a file still holds. Another file in its place, or one that was written to
        past SQLite, has another number of its own (inode), size or time of change.
        """
        try:
            here, there = os.fstat(self._descriptor), self._original.stat()
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            header = os.read(self._descriptor, _HEADER_BYTES)
        except OSError:
            return None
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            return None
        place = (here.st_dev, here.st_ino, here.st_size, here.st_mtime_ns, here.st_ctime_ns)
        return f"{place} {header.hex()}"

    def make(self) -> bool:
        """Copy it, or say that there is no room.

        Raises:
            UnreachableError: it cannot be read, or the copy not be written.
        """
        size, free = os.fstat(self._descriptor).st_size, shutil.disk_usage(_place()).free
        if size >= free:
            self._say_no_room()
            return False
        self._folder = Path(tempfile.mkdtemp(prefix="mlporter-"))
        copy = self._folder / "mlflow.db"
        try:
            self._fill(copy, size)
        except OSError as error:
            self._forget()
            # What is full is the temporary folder, which somebody else fills too.
            if shutil.disk_usage(_place()).free < size:
                self._say_no_room()
                return False
            raise UnreachableError(
                f"cannot be copied to {_place()}, to be read there: {error.strerror}",
                subject=self._subject,
                hint="set TMPDIR to a folder that takes files of its size",
            ) from error
        except BaseException:
            self._forget()
            raise
        self.path = copy
        return True

    def _fill(self, copy: Path, size: int) -> None:
        with copy.open("xb") as target:
            done = 0
            while done < size and (block := self._block(target.fileno(), done)):
                done += block

    def _block(self, target: int, offset: int) -> int:
        try:
            return os.copy_file_range(self._descriptor, target, _BLOCK, offset)
        except (AttributeError, OSError):
            # Not on every system, nor between all file systems.
            for descriptor in (target, self._descriptor):
                os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(target, os.read(self._descriptor, _BLOCK // 8))

    def _say_no_room(self) -> None:
        _log.warning(
            "no room in %s for a copy of %s: writers wait until it is read",
            _place(),
            self._original,
        )

    def close(self) -> None:
        """Remove the copy and close the file; never fails."""
        self._forget()
        with suppress(OSError):
            os.close(self._descriptor)

    def _forget(self) -> None:
        if self._folder is not None:
            with suppress(OSError):
                shutil.rmtree(self._folder)
        self._folder = self.path = None


def _place() -> str:
    return tempfile.gettempdir()
