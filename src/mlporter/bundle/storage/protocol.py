"""What a place of objects can do: a folder, a bucket, an encrypted one of either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from mlporter.artifacts.places import WholeObject

__all__ = ["Storage", "StoredObject"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: its path below the place (``/`` separated), bytes as stored, time of writing."""

    path: str
    size: int
    modified: datetime


class Storage(Protocol):
    """Objects under paths. Whole or not at all, and durable once a call returns.

    Every method may be called from several threads at once. All raise `UnreachableError` (or
    `AccessDeniedError`) where the place fails, and reading ones `BundleDamagedError` for an object
    that is not there.
    """

    @property
    def name(self) -> str:
        """What people call the place; redacted."""

    @property
    def is_local(self) -> bool:
        """Whether a part of an object is read as cheaply as it is large."""

    def elsewhere(self) -> Storage | None:
        """The same as what can be sent to another process; None where it cannot be."""

    def whole(self, path: str, sha256: str) -> WholeObject | None:
        """An object of a content as a store might copy it itself; None where none would."""

    def brought(self, path: str) -> None:
        """Know that there is an object which another process wrote."""

    @property
    def reads_parts(self) -> bool:
        """Whether a part of an object is read without the rest of it."""

    def scratch(self) -> Path:
        """A folder for files that `put_file` will take, on the same disk if there is one."""

    def put(self, path: str, data: bytes) -> None:
        """Write an object, in the place of one that is there."""

    def put_file(self, path: str, file: Path) -> None:
        """Move a file of this machine here. It is gone then."""

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one; whether it was written."""

    def size(self, path: str) -> int | None:
        """Bytes of an object as they can be read, or None where there is none."""

    def open(self, path: str) -> BinaryIO:
        """An object for reading; it can be sought in."""

    def read(self, path: str, limit: int) -> bytes:
        """A small object; one of more than `limit` bytes is damaged."""

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Some bytes of an object; fewer only at its end."""

    def walk(self, below: str = "") -> Iterator[StoredObject]:
        """Every object below a folder, sorted by path."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove objects; those that are not there are passed over."""
