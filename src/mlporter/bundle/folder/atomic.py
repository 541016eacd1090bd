"""Files that are there whole or not at all: temporary name, sync, rename, sync the folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.durable import sync_folder
from mlporter.errors import AccessDeniedError, UnreachableError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["AtomicFile", "disk_errors", "make_folder", "write_atomic", "write_temporary"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_OWNER_FOLDER = 0o700
_OWNER_FILE = 0o600
_ANY_FILE = 0o666
_FIRST_NAME = secrets.randbits(64)
_names = count()
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW_FILE |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def disk_errors(path: Path | str, doing: str = "write") -> AbstractContextManager[None]:
    """Turn an `OSError` of the local disk into one of ours, naming `path`.

    Raises:
        AccessDeniedError: permission denied, or a read-only file system.
        UnreachableError: anything else; a full disk says so and how to go on.
    """
    return _DiskErrors(path, doing)


class _DiskErrors:
    """What `disk_errors` returns: a generator would take as long as some of what it watches."""

    __slots__ = ("_doing", "_path")

    def __init__(self, path: Path | str, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, OSError):
            return
        why = error.strerror or str(error)
        subject = str(self._path)
        if error.errno in _FULL:
            hint = "free up some space, then run the same command with --resume"
            message = f"cannot {self._doing}: {why}"
            raise UnreachableError(message, subject=subject, hint=hint) from error
        kind_of_ours = AccessDeniedError if error.errno in _DENIED else UnreachableError
        raise kind_of_ours(f"cannot {self._doing}: {why}", subject=subject) from error


def make_folder(folder: Path, *, private: bool = False, durable: bool = True) -> None:
    """Create a folder with its parents, and make their names durable.

    Args:
        folder: Which.
        private: Nobody but its owner may look into it, also if it is already there.
        durable: Without it nothing is synced: for what is nobody's after a crash.

    Raises:
        UnreachableError: it cannot be created.
    """
    if private:
        make_folder(folder, durable=durable)
        with disk_errors(folder):
            folder.chmod(_OWNER_FOLDER)
    if folder.is_dir():
        return
    with disk_errors(folder):
        make_folder(folder.parent, durable=durable)
        folder.mkdir(exist_ok=True)
        if durable:
            sync_folder(folder.parent)


def _temporary_name() -> str:
    return f".tmp-{(_FIRST_NAME + next(_names)) % 2**64:016x}"


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_FILE)


class AtomicFile:
    """A new file that takes its name when it is complete, and its SHA-256 while it is written.

    Usable as a binary file object for writing. Leaving the ``with`` block without `commit`
    removes the temporary file. Not safe for several threads at once.
    """

    def __init__(self, folder: Path, *, private: bool = False, durable: bool = True) -> None:
        """Open a temporary file in `folder`, which must exist (`OSError` if it cannot be).

        A `private` file is its owner's from the first byte on, and keeps that with its name. One
        that is not `durable` is never synced: it is nobody's after a crash.
        """
        self._durable = durable
        self.temporary = folder / _temporary_name()
        self.size = 0
        self._hash = hashlib.sha256()
        opener = _owner_only if private else None
        self._file: BinaryIO = open(self.temporary, "xb", opener=opener)  # noqa: SIM115 -- kept open
        self._committed = False

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what was written so far."""
        return self._hash.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """Append bytes; returns how many.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        with disk_errors(self.temporary.parent):
            self._file.write(data)
        self._hash.update(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def flush(self) -> None:
        """Do nothing: `commit` flushes."""

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def commit(self, path: Path, *, sync: bool = True) -> None:
        """Sync, close, rename to `path` (replacing a file there), sync the folder if `sync`.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        with disk_errors(path):
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
        self.close()
        self.take_name(path)
        if sync and self._durable:
            with disk_errors(path):
                sync_folder(path.parent)

    def close(self) -> None:
        """Close the file under its temporary name, for somebody who syncs many at once.

        Leaving the ``with`` block does not remove it then.

        Raises:
            UnreachableError: the disk is full or fails.
        """
        with disk_errors(self.temporary):
            self._file.close()
        self._committed = True

    def take_name(self, path: Path) -> None:
        """Rename the closed file, whose content is durable, to `path`.

        Raises:
            UnreachableError: the disk fails.
        """
        with disk_errors(path):
            self.temporary.replace(path)

    def discard(self) -> None:
        """Close and remove the temporary file, unless it was committed."""
        # Closing flushes, which fails once more on a full disk; the file goes away regardless.
        with contextlib.suppress(OSError):
            self._file.close()
        if not self._committed:
            with contextlib.suppress(OSError):
                self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def write_temporary(folder: str, content: bytes) -> str:
    """Write a small content under a temporary name; returns its path. Not durable yet.

    Raises:
        OSError: the disk is full or fails; nothing is left then.
    """
    path = f"{folder}/{_temporary_name()}"
    descriptor = os.open(path, _NEW_FILE, _ANY_FILE)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    except BaseException:
        with contextlib.suppress(OSError):
            Path(path).unlink()
        raise
    finally:
        os.close(descriptor)
    return path


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> str:
    """Write a small file whole or not at all; returns its SHA-256 (hex).

    Without `durable` nothing is synced.

    Raises:
        UnreachableError: the folder cannot be made, or the disk is full or fails.
    """
    make_folder(path.parent, durable=durable)
    with disk_errors(path), AtomicFile(path.parent, durable=durable) as file:
        file.write(data)
        file.commit(path)
        return file.sha256
