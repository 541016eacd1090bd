"""Reading inside a bundle: no symbolic link followed, no device opened, no size believed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from mlporter.bundle.folder.atomic import disk_errors
from mlporter.errors import BundleDamagedError
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CHUNK", "Entry", "check_size", "hash_stream", "open_inside", "read_inside", "walk"]

CHUNK = 2**20
"""Bytes that are read at a time."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_READ = (
    os.O_RDONLY
    | _NO_LINK
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
"""Not blocking, so that a pipe in the place of a file does not wait for its writer."""
_IS_LINK = (errno.ELOOP, errno.EMLINK)
"""How opening a link fails: on Linux and macOS, and on FreeBSD."""


class Entry(NamedTuple):
    """Something in a bundle's directory: ``kind`` is "file", "folder", "link" or "other"."""

    path: str
    kind: str
    size: int


def open_inside(root: Path, path: str, *, folder_is_real: bool = False) -> BinaryIO:
    """Open a file of a bundle for reading, unbuffered.

    `path` is relative with ``/``, and has been checked before; `root` itself may be a link. With
    `folder_is_real`, the folder of the file was found to be none, and is not looked at again.

    Raises:
        BundleDamagedError: it is missing, or it or a folder on the way is a symbolic link, or it
            is not a regular file.
        UnreachableError: it cannot be read.
    """
    folder, _, name = path.rpartition("/")
    where = os.fspath(root)
    for segment in folder.split("/") if folder else ():
        where = f"{where}/{segment}"
        if not folder_is_real:
            _refuse_link(root, where)
    where = f"{where}/{name}"
    if not _NO_LINK:
        _refuse_link(root, where)
    try:
        descriptor = os.open(where, _READ)
    except (FileNotFoundError, NotADirectoryError):
        raise _damaged(root, Path(where), "is missing") from None
    except OSError as error:
        if _NO_LINK and error.errno in _IS_LINK:
            raise _damaged(root, Path(where), "is a symbolic link") from None
        with disk_errors(Path(where), "read"):
            raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _damaged(root, Path(where), "is not a regular file")
    return cast("BinaryIO", io.FileIO(descriptor))


def _refuse_link(root: Path, where: str) -> None:
    if os.path.islink(where):  # noqa: PTH114 -- a Path each takes as long as reading one
        raise _damaged(root, Path(where), "is a symbolic link")


def check_size(where: Path | str, path: str, file: BinaryIO, size: int) -> None:
    """Compare the size of an open file with what it must be.

    Raises:
        BundleDamagedError: they differ.
    """
    found = os.fstat(file.fileno()).st_size
    if found != size:
        raise BundleDamagedError(f"{path} has {found:,} bytes, not {size:,}", subject=str(where))


def read_inside(root: Path, path: str, limit: int) -> bytes:
    """The bytes of a small file of a bundle.

    Raises:
        BundleDamagedError: as `open_inside`, or it is longer than `limit` bytes.
        UnreachableError: it cannot be read.
    """
    with open_inside(root, path) as file, disk_errors(root / path, "read"):
        pieces = []
        left = limit + 1
        while left and (piece := file.read(left)):
            pieces.append(piece)
            left -= len(piece)
    if not left:
        raise _damaged(root, root / path, f"is longer than {limit:,} bytes")
    return b"".join(pieces)


def hash_stream(file: BinaryIO, seen: Callable[[int], None] | None = None) -> str:
    """SHA-256 (hex) of the rest of a file; `seen` gets the bytes of each chunk."""
    digest = hashlib.sha256()
    size = os.fstat(file.fileno()).st_size
    buffer = memoryview(bytearray(max(1, min(size, CHUNK))))
    while size := file.readinto(buffer):  # type: ignore[attr-defined]
        check()
        digest.update(buffer[:size])
        if seen:
            seen(size)
    return digest.hexdigest()


def walk(root: Path, below: str = "") -> Iterator[Entry]:
    """Everything in a directory, sorted by path within each folder, links not followed.

    Memory grows with the largest folder only.

    Raises:
        UnreachableError: a folder cannot be listed.
    """
    with disk_errors(root / below, "list"), os.scandir(root / below) as listing:
        found = sorted((entry.name, *_kind(entry)) for entry in listing)
    for name, kind, size in found:
        path = f"{below}/{name}" if below else name
        yield Entry(path, kind, size)
        if kind == "folder":
            yield from walk(root, path)


def _kind(entry: os.DirEntry[str]) -> tuple[str, int]:
    if entry.is_symlink():
        return "link", 0
    if entry.is_dir(follow_symlinks=False):
        return "folder", 0
    if entry.is_file(follow_symlinks=False):
        return "file", entry.stat(follow_symlinks=False).st_size
    return "other", 0


def _damaged(root: Path, where: Path, what: str) -> BundleDamagedError:
    inside = where.relative_to(root).as_posix()
    return BundleDamagedError(f"{inside} {what}", subject=str(root))
