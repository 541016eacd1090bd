"""What reading a file store came upon: things that cannot be copied, or not as they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from mlporter.artifacts.places import displayable
from mlporter.errors import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Notes", "Spot"]


@dataclass
class Notes:
    """Entries for what was not copied, one for each kind, id, path and reason."""

    _entries: dict[tuple[str, str, str, str], LeftOut] = field(default_factory=dict)

    def add(self, entry: LeftOut) -> None:
        """One more; a second sentence about the same thing is appended to the first."""
        key = (entry.kind, entry.id, entry.path, entry.reason)
        there = self._entries.get(key)
        if there is None:
            self._entries[key] = entry
        elif entry.detail not in there.detail:
            expected = there.expected and entry.expected
            detail = f"{there.detail}; {entry.detail}"
            self._entries[key] = replace(there, detail=detail, expected=expected)

    def extend(self, entries: Iterable[LeftOut]) -> None:
        """Several more."""
        for entry in entries:
            self.add(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> tuple[LeftOut, ...]:
        """All of them, sorted."""
        return tuple(self._entries[key] for key in sorted(self._entries))


class Spot(NamedTuple):
    """Where in a store something is read: what it would be rows of, and whose.

    Attributes:
        table: The catalogue's table that rows of it go to.
        id: The id of what they belong to: of a run, say.
        path: The file or folder, below the root of the store.
    """

    notes: Notes
    table: str
    id: str
    path: str

    def at(self, name: str, table: str = "") -> Spot:
        """A file or folder in this one."""
        return Spot(self.notes, table or self.table, self.id, f"{self.path}/{name}")

    def of(self, table: str, owner: str) -> Spot:
        """The same place, read for something else."""
        return Spot(self.notes, table, owner, self.path)

    def lost(self, detail: str, reason: str = "unreadable") -> None:
        """Say that something is not copied."""
        self._add(reason, detail, expected=False)

    def told(self, detail: str, reason: str) -> None:
        """Say something of which nothing is lost."""
        self._add(reason, detail, expected=True)

    def _add(self, reason: str, detail: str, *, expected: bool) -> None:
        id_, path = displayable(self.id), displayable(self.path)
        self.notes.add(LeftOut(self.table, id_, path, reason, displayable(detail), expected))
