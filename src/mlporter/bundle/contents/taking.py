"""Taking contents into a bundle: what can be done by any thread, or by another process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from mlporter.bundle.contents.packs import SMALL, small_head

if TYPE_CHECKING:
    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.blobs import Stored

__all__ = ["Blobs", "Taken", "Taker"]


class Blobs(Protocol):
    """Contents that lie alone: in a folder, or in object storage."""

    def has(self, sha256: str, size: int) -> bool:
        """Whether there is one of that name and size."""

    def add(self, stream: BinaryIO, head: bytes = b"") -> Stored:
        """Take one, hashing on the way; it begins with `head`, which was read before."""

    def whole(self, sha256: str) -> WholeObject | None:
        """One as an object that a store might copy to there itself; None where none would.

        All lie in one bucket, whatever they are called.
        """

    def note(self, sha256: str, size: int) -> None:
        """Know one that is there: another process may have brought it."""

    def sync(self) -> None:
        """Make all that were added durable."""


class Taken(NamedTuple):
    """A content that was read: SHA-256 (hex), bytes, and all of it if it is small.

    A large one lies alone already; `is_new` if it did not before, as far as is known. `by_storage`
    says that an object store copied it there itself.
    """

    sha256: str
    size: int
    content: bytes | None = None
    is_new: bool = True
    by_storage: bool = False


@dataclass(frozen=True)
class Taker:
    """Takes contents: large ones to where they lie alone, small ones along."""

    blobs: Blobs
    packs_small: bool = True

    def take(self, stream: BinaryIO) -> Taken:
        """Read a content, hashing on the way.

        Raises:
            UnreachableError: the disk is full or fails. What reading `stream` raises is passed on.
        """
        head = small_head(stream) if self.packs_small else b""
        if len(head) >= SMALL or not self.packs_small:
            stored = self.blobs.add(stream, head)
            return Taken(stored.sha256, stored.size, None, stored.is_new)
        return Taken(hashlib.sha256(head).hexdigest(), len(head), head)

    def settle(self) -> None:
        """Make what was taken safe: it is told of next."""
        self.blobs.sync()
