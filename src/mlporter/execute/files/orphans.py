"""Files that no row points to: when they are copied, and what `inspect` says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.errors import UsageError
from mlporter.stores.protocols import only_orphans

if TYPE_CHECKING:
    from mlporter.selection import Selection
    from mlporter.stores.protocols import Report, Source

__all__ = ["OrphanFolder", "Orphans", "check_orphans", "find_orphans"]

FOLDERS_SHOWN = 1000
"""How many folders of orphans are named; all are counted."""


@dataclass(frozen=True, slots=True)
class OrphanFolder:
    """A folder of files that no row points to, by its path below the store; files and bytes."""

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Orphans:
    """All files that no row points to: counted, and the first folders by name."""

    files: int = 0
    bytes: int = 0
    folders: int = 0
    first: tuple[OrphanFolder, ...] = ()


def check_orphans(artifacts: str, selection: Selection | None, *, orphans: bool) -> None:
    """Refuse to copy orphans where no files are copied, or only chosen things.

    Raises:
        UsageError: it makes no sense.
    """
    if not orphans:
        return
    if artifacts != "copy":
        raise UsageError(
            f"--orphans is about files, and --artifacts {artifacts} copies none",
            hint="leave one of the two out",
        )
    if selection is not None and not selection.is_everything:
        raise UsageError(
            "--orphans copies files that belong to nothing, and so not to what was asked for",
            hint="leave it out, or export everything",
        )


def find_orphans(source: Source, report: Report) -> Orphans:
    """Count the files that no row of a source points to.

    Args:
        source: Where; opened so that it lists them.
        report: Takes what cannot be looked at.
    """
    folders: dict[str, tuple[int, int]] = {}
    last, count_of_folders = "", 0
    files = size = 0
    for file in source.files(report, only_orphans):
        files, size = files + 1, size + file.size
        count_of_folders += file.owner_id != last
        last = file.owner_id
        count, total = folders.get(file.owner_id, (0, 0))
        if count or len(folders) < FOLDERS_SHOWN:
            folders[file.owner_id] = (count + 1, total + file.size)
    first = tuple(OrphanFolder(name, *counts) for name, counts in folders.items())
    return Orphans(files, size, count_of_folders, first)
