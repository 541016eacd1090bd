"""A new file of this machine: under its name it is whole, read back, and nobody else's.

Linux writes it without any name first, and names it once: a process that is killed leaves nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.copying import CHUNK, Tapped
from mlporter.artifacts.disk.durable import sync_folder
from mlporter.errors import ReadBackError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NewFile", "write_new"]

_BY_DESCRIPTOR = "/proc/self/fd"
_CANNOT = frozenset(
    {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.ENOSYS}
)
"""How disks and systems say that they have no files without names, or cannot name them."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """What was written; `created` is False where the name was taken already."""

    sha256: str
    size: int
    device: int
    inode: int
    created: bool


def write_new(  # noqa: PLR0913 -- all but three go by name
    folder: str,
    name: str,
    stream: BinaryIO | Tapped,
    *,
    temporary: str,
    durable: bool,
    appears: Callable[[int, int], None] | None = None,
) -> NewFile:
    """Write a file into a folder, hashing on the way, and read it back before it gets its name.

    Args:
        folder: Which must be there.
        name: Never taken from another file.
        stream: The bytes.
        temporary: How the name begins that it has meanwhile, where it must have one.
        durable: Whether it must survive a crash of the machine.
        appears: Told its device and inode just before it gets its name.

    Raises:
        OSError: reading or writing failed; nothing is there then.
        ReadBackError: the disk gives back something else.
    """
    descriptor = _unnamed(folder)
    if descriptor is None:
        return _with_temporary(folder, name, stream, temporary, durable, appears)
    try:
        sha256, size = _written(descriptor, stream, f"{folder}/{name}", durable=durable)
        found = os.fstat(descriptor)
        if appears is not None:
            appears(found.st_dev, found.st_ino)
        try:
            # The descriptor's folder is not looked at: the path is absolute. It only makes Python
            # call linkat(2), which follows the link.
            source = f"{_BY_DESCRIPTOR}/{descriptor}"
            os.link(source, f"{folder}/{name}", src_dir_fd=descriptor, follow_symlinks=True)
            created = True
        except FileExistsError:
            created = False
        except OSError as error:
            if error.errno not in {*_CANNOT, errno.ENOENT}:
                raise
            os.lseek(descriptor, 0, os.SEEK_SET)
            with os.fdopen(os.dup(descriptor), "rb") as again:
                return _with_temporary(folder, name, again, temporary, durable, appears)
    finally:
        os.close(descriptor)
    if created and durable:
        sync_folder(folder)
    return NewFile(sha256, size, found.st_dev, found.st_ino, created)


def _unnamed(folder: str) -> int | None:
    """A new file without a name, open for writing and reading; None where there can be none."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag:
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return None


def _with_temporary(  # noqa: PLR0913, PLR0917 -- as `write_new`
    folder: str,
    name: str,
    stream: BinaryIO | Tapped,
    temporary: str,
    durable: bool,  # noqa: FBT001 -- likewise
    appears: Callable[[int, int], None] | None,
) -> NewFile:
    """The same, under a temporary name first."""
    path = f"{folder}/{temporary}{secrets.token_hex(8)}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        try:
            sha256, size = _written(descriptor, stream, f"{folder}/{name}", durable=durable)
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if appears is not None:
            appears(found.st_dev, found.st_ino)
        created = _publish(path, f"{folder}/{name}")
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 -- a Path takes as long
    if created and durable:
        sync_folder(folder)
    return NewFile(sha256, size, found.st_dev, found.st_ino, created)


def _publish(temporary: str, final: str) -> bool:
    """Give a finished file its name; False if the name is taken."""
    try:
        os.link(temporary, final, follow_symlinks=False)
    except FileExistsError:
        return False
    except (OSError, NotImplementedError):
        # No hard links on this file system: check, then rename.
        if os.path.lexists(final):
            return False
        os.rename(temporary, final)  # noqa: PTH104 -- likewise
    return True


def _written(
    descriptor: int, stream: BinaryIO | Tapped, where: str, *, durable: bool
) -> tuple[str, int]:
    """Write all of a stream, and look whether the disk gives it back."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(CHUNK):
        check()
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
        size += len(block)
    if durable:
        os.fsync(descriptor)
    sha256 = digest.hexdigest()
    if _read_back(descriptor, size) != sha256:
        raise ReadBackError("reads back differently from what was written", subject=where)
    return sha256, size


def _read_back(descriptor: int, size: int) -> str:
    digest, left = hashlib.sha256(), size
    os.lseek(descriptor, 0, os.SEEK_SET)
    while block := os.read(descriptor, min(CHUNK, left + 1)):
        check()
        digest.update(block)
        left -= len(block)
    return digest.hexdigest() if not left else ""
