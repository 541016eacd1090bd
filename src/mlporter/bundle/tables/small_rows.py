"""Rows that are read again and again and are few: they are kept from the first time on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Again", "Room"]

_EACH = 256 * 2**10
"""The most bytes that are kept of one stream."""
_ALL = 8 * 2**20
"""The most bytes that are kept of all streams of one room."""


class Room:
    """How much more may be kept."""

    def __init__(self, size: int = _ALL, each: int = _EACH) -> None:
        """Have room for so many bytes, and for so many of each stream."""
        self.left = size
        self.each = each


class Rows(Protocol):
    """Some rows."""

    @property
    def nbytes(self) -> int:
        """How much they take."""


_Rows = TypeVar("_Rows", bound=Rows)


class Again(Generic[_Rows]):
    """Rows that can be read as often as is wanted.

    A transfer reads a table five times, and most tables are small: opening, decoding and shaping
    takes longer than the rows do. What is more than a little is read from where it is each time.

    Attributes:
        is_few: Whether they are kept, or may be: False once they were found to be too many.
    """

    def __init__(self, read: Callable[[], Iterator[_Rows]], room: Room) -> None:
        """Take what reads all of them; what is kept takes from the room."""
        self._read = read
        self._room = room
        self._kept: list[_Rows] | None = None
        self.is_few = True

    def __call__(self) -> Iterator[_Rows]:
        """All rows, from the first."""
        return iter(self._kept) if self._kept is not None else self._first()

    def _first(self) -> Iterator[_Rows]:
        """Read them; once all were taken, and were few, they are kept."""
        some: list[_Rows] = []
        size = 0
        for batch in self._read():
            size += batch.nbytes
            some = [*some, batch] if size <= self._room.each else []
            yield batch
        self.is_few = size <= min(self._room.each, self._room.left)
        if self.is_few and self._kept is None:
            self._room.left -= size
            self._kept = some
