"""Making files and names survive a crash of the machine, many at once where that is possible."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = [
    "exchange",
    "has_syncfs",
    "sync_file",
    "sync_files",
    "sync_folder",
    "sync_folders",
    "sync_whole_disk",
]

_HERE = -100
"""``AT_FDCWD``: paths are relative to the current folder."""
_SWAP = 2
"""``RENAME_EXCHANGE`` of Linux and ``RENAME_SWAP`` of macOS."""
_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV, errno.EPERM})
"""How a system or a disk says that it cannot exchange two folders."""

_FEW = 10
"""Files, or folders, that are rather synced one by one."""


def has_syncfs() -> bool:
    """Whether `sync_whole_disk` can be called here: on Linux."""
    return sys.platform == "linux"


def sync_whole_disk(folder: Path) -> None:
    """Write out whatever waits for the disk that a folder is on, contents and names.

    A thousand small files take about as long as ten with ``fsync``. Linux only: ``syncfs(2)``.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _libc().syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders take each other's names in one step; False if this disk cannot do that.

    Linux: ``renameat2(2)`` with ``RENAME_EXCHANGE``; macOS: ``renamex_np(2)`` with ``RENAME_SWAP``.

    Raises:
        OSError: it can, and failed.
    """
    paths = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(_libc(), "renameat2"):
        failed = _libc().renameat2(_HERE, paths[0], _HERE, paths[1], _SWAP)
    elif sys.platform == "darwin" and hasattr(_libc(), "renamex_np"):
        failed = _libc().renamex_np(*paths, _SWAP)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def sync_files(folder: Path, files: Sequence[str]) -> None:
    """Make the content of closed files of a folder durable.

    Raises:
        OSError: the disk fails.
    """
    _sync(folder, files, sync_file)


def sync_file(file: str | Path) -> None:
    """Make the content of a closed file durable; it is opened for writing, as Windows wants.

    Raises:
        OSError: the disk fails.
    """
    with Path(file).open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: str | Path) -> None:
    """Make the names in a folder durable; a no-op where folders cannot be opened (Windows).

    Raises:
        OSError: the disk fails.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(root: Path, names: Collection[str]) -> None:
    """Make the names in some folders of `root` durable.

    Raises:
        OSError: the disk fails.
    """
    _sync(root, [f"{root}/{name}" for name in names], sync_folder)


def _sync(root: Path, paths: Sequence[str], each: Callable[[str], None]) -> None:
    """Make paths on the disk of `root` durable: few one by one, many with all that waits."""
    if has_syncfs() and len(paths) > _FEW:
        sync_whole_disk(root)
        return
    for path in paths:
        each(path)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
