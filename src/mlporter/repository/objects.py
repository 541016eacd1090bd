"""``verify`` of a repository: objects that are read, by whichever worker."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.bundle.contents.packs import read_members
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import hash_stream
from mlporter.bundle.folder.layout import PACKS, name_in
from mlporter.bundle.storage.hashing import hash_object
from mlporter.errors import MlporterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.bundle.checks.looked import Looked
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["LookAtObjects", "object_tasks"]

_OBJECTS, _BYTES = 64, 8 << 20
"""What one task names, at most. A pack is a task of its own, as is one that is larger, and each one
in object storage: most of the time is waiting there."""


@dataclass(frozen=True, slots=True)
class LookAtObjects:
    """Read some objects, of which path and size are said, and hold each against its name."""

    storage: Storage
    objects: tuple[tuple[str, int], ...]

    def look(self, looked: Looked) -> None:
        """Read them."""
        for path, _ in self.objects:
            self._look(path, looked)

    def _look(self, path: str, looked: Looked) -> None:
        try:
            self._read(path, looked)
        except MlporterError as error:
            looked.add(path, "unreadable", str(error))

    def _read(self, path: str, looked: Looked) -> None:
        """One object: its sum first of all, for where it is wrong, the rest follows from that."""
        if not _is_pack(path):
            self._compare(path, hash_object(self.storage, path, looked.read), looked)
            return
        with self.storage.open(path) as file, disk_errors(path, "read"):
            found = hash_stream(file, looked.read)
            if self._compare(path, found, looked):
                file.seek(0)
                for member, content in read_members(file, path):
                    if hashlib.sha256(content).hexdigest() != member.sha256:
                        looked.add(path, "sha256", f"{member.sha256} does not match its name")
                    looked.members.append((path, member.sha256, member.offset))

    @staticmethod
    def _compare(path: str, found: str, looked: Looked) -> bool:
        looked.blobs_read += 1
        if found == name_in(path):
            return True
        looked.add(path, "sha256", "does not match its name")
        return False


def object_tasks(storage: Storage, objects: Iterable[tuple[str, int]]) -> Iterator[LookAtObjects]:
    """Objects in the order they come, some at a time."""
    some: list[tuple[str, int]] = []
    total, most = 0, _OBJECTS if storage.is_local else 1
    for path, size in objects:
        if some and (_is_pack(path) or total + size > _BYTES or len(some) >= most):
            yield LookAtObjects(storage, tuple(some))
            some, total = [], 0
        some.append((path, size))
        total = _BYTES if _is_pack(path) else total + size
    if some:
        yield LookAtObjects(storage, tuple(some))


def _is_pack(path: str) -> bool:
    return path.startswith(f"{PACKS}/")
