"""The folders of parts and contents at the end: rid of what nothing names, and safe on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.disk.durable import sync_folder
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import walk
from mlporter.bundle.folder.layout import BLOBS, PACKS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["remove_others", "sync_folders"]

_FOLDERS = (TABLES, BLOBS, PACKS)


def remove_others(root: Path, is_needed: Callable[[str], bool]) -> None:
    """Remove what an interrupted export left and the bundle does not name.

    Args:
        root: The bundle's directory.
        is_needed: Called with a path below it, "/" separated.

    Raises:
        UnreachableError: a file cannot be removed.
    """
    for folder in _FOLDERS:
        if (root / folder).is_dir():
            for entry in walk(root, folder):
                if entry.kind == "file" and not is_needed(entry.path):
                    with disk_errors(root / entry.path, "remove"):
                        (root / entry.path).unlink()


def sync_folders(root: Path) -> None:
    """Wait until the names of all files are on disk.

    Raises:
        UnreachableError: the disk fails.
    """
    for folder in _FOLDERS:
        if (root / folder).is_dir():
            with disk_errors(root / folder):
                sync_folder(root / folder)
