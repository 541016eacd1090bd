"""Making files and names survive a crash of the machine, many at once where that is possible."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = [
    "has_syncfs",
    "sync_file",
    "sync_files",
    "sync_folder",
    "sync_folders",
    "sync_whole_disk",
]

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
