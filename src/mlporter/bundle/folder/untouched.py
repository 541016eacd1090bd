"""Leaving nothing behind where a bundle was refused before there was anything of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.bundle.folder.files import walk
from mlporter.bundle.folder.layout import WORK
from mlporter.bundle.folder.state import State, state_of
from mlporter.errors import MlporterError

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.bundle.folder.lock import BundleLock

__all__ = ["Untouched"]


@dataclass(frozen=True)
class Untouched:
    """A directory as it was before a writer took it.

    Attributes:
        root: The directory.
        empty: Whether it was empty, or not there.
        missing: It and the folders above it that were not there, the deepest first.
    """

    root: Path
    empty: bool
    missing: tuple[Path, ...]

    @classmethod
    def of(cls, root: Path) -> Untouched:
        """Look at a directory.

        Raises:
            UnreachableError: it is none, or cannot be listed.
        """
        above = (root, *root.parents)
        missing = tuple(folder for folder in above if not folder.exists())
        return cls(root, state_of(root) is State.EMPTY, missing)

    def give_up(self, lock: BundleLock) -> None:
        """Free the lock; if no file of a bundle was written, leave the directory as it was.

        What was written stays, so that ``--resume`` goes on with it. Never fails.
        """
        made = self._only_folders() if lock.is_held and self.empty else None
        if made is None:
            lock.release()
        else:
            with suppress(OSError):
                lock.remove()
        for folder in (*(made or ()), self.root / WORK, *self.missing) if self.empty else ():
            with suppress(OSError):
                folder.rmdir()

    def _only_folders(self) -> list[Path] | None:
        """The folders made in it, the deepest first; None if there is a file."""
        folders: list[Path] = []
        with suppress(MlporterError):
            for entry in walk(self.root):
                if entry.path.split("/")[0] == WORK:
                    continue
                if entry.kind != "folder":
                    return None
                folders.append(self.root / entry.path)
            return folders[::-1]
        return None
