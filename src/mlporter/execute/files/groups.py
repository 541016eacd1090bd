"""How many files are handed out together: by what the last ones took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.execute.files.tasks import FileTask

__all__ = ["FAR", "GROUP_BYTES", "NEAR", "Bounds", "FileGroup", "FileGroups"]

A = TypeVar("A")
T = TypeVar("T")

GROUP_BYTES = 1 << 20
"""About so many bytes are carried at a time by a thread."""
_QUICK_SECONDS = 0.001
"""Files that take less are carried without other threads."""


@dataclass(slots=True)
class FileGroup(Generic[T, A]):
    """Files that are carried one after another; by another process if there are tasks."""

    items: list[T] = field(default_factory=list)
    tasks: list[FileTask[A]] = field(default_factory=list)
    bytes: int = 0

    def add(self, item: T, task: FileTask[A] | None, size: int) -> None:
        """Take a file."""
        self.items.append(item)
        self.bytes += size
        if task is not None:
            self.tasks.append(task)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is carried at a time, at most: as long as that, so many files and bytes."""

    seconds: float
    files: int
    bytes: int


NEAR = Bounds(0.02, 64, GROUP_BYTES)
FAR = Bounds(0.5, 256, 8 << 20)
"""Handing over to another process takes longer, and so groups are larger."""


class FileGroups(Generic[T]):
    """Cuts files into groups, by what the last ones took: one that is slow is a group by itself."""

    def __init__(self, size: Callable[[T], int], bounds: Bounds = NEAR) -> None:
        self.size = size
        self._bounds = bounds
        self._most = 1
        self.is_quick = True

    def is_enough(self, group: FileGroup[T, A]) -> bool:
        """Whether a group is to be handed out."""
        return len(group.items) >= self._most or group.bytes >= self._bounds.bytes

    def learn(self, seconds: float, files: int) -> None:
        """Make the next groups longer or shorter, as this one took little or much time."""
        each = seconds / files
        self.is_quick = each < _QUICK_SECONDS
        enough = int(self._bounds.seconds / max(each, 1e-6))
        self._most = max(1, min(self._bounds.files, enough))
