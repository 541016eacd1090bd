"""Three sides of an artifact file: which content each has, and who changed it.

What is remembered of a file that was sent: its content (a digest of its SHA-256), its size, and a
mark that changes if the source's file does, where the source can tell without reading it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from mlporter.plan.three_sides.sides import ABSENT, Outcome, State, decide, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.artifacts.listing import ArtifactFile
    from mlporter.plan.three_sides.sides import Digest, Wish
    from mlporter.stores.rows.last_sent import Group

__all__ = ["COLUMNS", "FILES", "FileSides", "Sent", "SentRows", "content_of", "mark_of", "unpack"]

FILES = "artifacts"
"""What files are remembered under: a group for each owner, a row for each file."""
COLUMNS = ("mark", "content", "size")

_OTHER: Digest = 2
"""Of a content that can be neither the other side's nor what was sent: its size is another."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is remembered of a file that was sent."""

    mark: int
    content: Digest
    size: int


def _number(text: str) -> int:
    return int(sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16], 16)


def content_of(digest: str) -> Digest:
    """A content by its SHA-256 (hex): never what stands for nothing, or for another size."""
    return max(int(digest[:16], 16), _OTHER + 1)


def mark_of(file: ArtifactFile) -> int:
    """What changes if a file does; 0 where nobody can tell."""
    return max(_number(f"{file.size} {file.stamp}"), 1) if file.stamp else 0


class SentRows:
    """What is remembered of files of an owner: 32 bytes each."""

    def __init__(self) -> None:
        """Of none."""
        self._rows = array("Q")

    def add(self, path: str, sent: Sent) -> None:
        """Remember a file, by its path."""
        self._rows.extend((_number(path), sent.mark, sent.content, sent.size))

    def packed(self, older: Mapping[int, Sent]) -> bytes:
        """Rows of a group, and older ones of other files, by the digest of their path."""
        rows = np.array(self._rows, np.uint64).reshape(-1, 4)
        lines = [(key, sent.mark, sent.content, sent.size) for key, sent in older.items()]
        others = np.array(lines, np.uint64).reshape(-1, 4)
        every = np.concatenate([rows, others[~np.isin(others[:, 0], rows[:, 0])]])
        return every[np.argsort(every[:, 0])].tobytes()


def unpack(group: Group) -> dict[int, Sent]:
    """The rows of a group, by the digest of their path."""
    if group.columns != COLUMNS:
        return {}
    return {int(row[0]): Sent(*map(int, row[1:])) for row in group.rows.tolist()}


@dataclass(frozen=True)
class FileSides:
    """A file on both sides, and what was sent of it.

    Attributes:
        path: Below the owner's root.
        source: The source's file, or None.
        size: The size of the target's file; None if there is none.
        sent: What was last sent, or None.
        is_known: Whether files of that owner were sent at all, as far as is known.
        read_source: The SHA-256 of the source's content, as it would be sent.
        read_target: That of the target's.
    """

    path: str
    source: ArtifactFile | None
    size: int | None
    sent: Sent | None
    is_known: bool
    read_source: Callable[[], str]
    read_target: Callable[[], str]

    @staticmethod
    def key(path: str) -> int:
        """How a path is found among what is remembered."""
        return _number(path)

    def digests(self) -> tuple[Digest, Digest, Digest | None]:
        """The contents of the source's, the target's, and what was sent; read where needed."""
        base = (ABSENT if self.is_known else None) if self.sent is None else self.sent.content
        source = self._of_source()
        return source, self._of_target(source), base

    def _of_source(self) -> Digest:
        if self.source is None:
            return ABSENT
        mark = mark_of(self.source)
        if self.sent is not None and mark and mark == self.sent.mark:
            return self.sent.content
        return content_of(self.read_source())

    def _of_target(self, source: Digest) -> Digest:
        if self.size is None:
            return ABSENT
        sent = self.sent
        if sent is not None and source == sent.content and self.size == sent.size:
            return sent.content  # nothing would be written in any case
        sizes = {None if self.source is None else self.source.size, sent.size if sent else None}
        return content_of(self.read_target()) if self.size in sizes else _OTHER

    def outcome(self, wish: Wish) -> tuple[State, Outcome, Digest, Digest]:
        """Who changed it, what is done about it, and the contents here and there."""
        source, target, base = self.digests()
        state = state_of(source, target, base)
        if state is State.SAME:
            return state, Outcome.SEND, source, target
        if source == ABSENT and state in {State.UNKNOWN, State.TARGET_EDITED}:
            return state, Outcome.KEEP, source, target
        if source == ABSENT and state is State.SOURCE_CHANGED and not wish.deletes:
            return state, Outcome.KEEP, source, target
        if target == ABSENT and state is State.UNKNOWN and wish.unknown != "theirs":
            return state, Outcome.SEND, source, target  # over nothing
        # Nobody can say which of two contents is newer.
        return state, decide(state, wish, is_newer=True), source, target
