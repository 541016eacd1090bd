"""A number for each of many keys, read in order: a few are in memory, more on disk."""

from __future__ import annotations

import weakref
from contextlib import closing
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["SortedNumbers", "in_order"]

_FEW = 10_000
"""Keys that are kept in memory: about a megabyte."""


class SortedNumbers:
    """Keys, each once, with a number each. For one thread at a time.

    The space of those on disk is free again when this is closed, or no longer used.
    """

    def __init__(self) -> None:
        """There are none yet."""
        self._few: dict[bytes, int] = {}
        self._many: Scratch | None = None

    def __setitem__(self, key: bytes, number: int) -> None:
        """Keep a number in place of the one that a key had.

        Raises:
            UnreachableError: there is no room in the temporary folder.
        """
        self._few[key] = number
        if len(self._few) >= _FEW:
            self._move()

    def get(self, key: bytes) -> int | None:
        """The number of a key, or None."""
        if key in self._few or self._many is None:
            return self._few.get(key)
        found = self._many.one("SELECT number FROM numbers WHERE key = ?", key)
        return None if found is None else int(found[0])

    def items(self) -> Iterator[tuple[bytes, int]]:
        """All keys in order, with their numbers; nothing is added meanwhile."""
        if self._many is None:
            yield from sorted(self._few.items())
            return
        self._move()
        yield from self._many.rows("SELECT key, number FROM numbers ORDER BY key")

    def _move(self) -> None:
        if self._many is None:
            self._many = Scratch(
                "CREATE TABLE numbers (key BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID"
            )
            self._closing = weakref.finalize(self, self._many.close)
        few = sorted(self._few.items())
        self._many.run_many("INSERT OR REPLACE INTO numbers VALUES (?, ?)", few)
        self._few.clear()

    def close(self) -> None:
        """Forget all."""
        self._few.clear()
        if self._many is not None:
            self._closing()
            self._many = None


def in_order(items: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """Keys in order, each with the number that came with it last.

    Raises:
        UnreachableError: there is no room in the temporary folder.
    """
    with closing(SortedNumbers()) as numbers:
        for key, number in items:
            numbers[key] = number
        yield from numbers.items()
