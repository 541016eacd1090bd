"""Rows of a file store on their way into the spool, some thousand at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from mlporter.stores.filestore.notes import Spot

__all__ = ["Rows"]

_AT_ONCE = 5_000
_BYTES_AT_ONCE = 16 << 20


@dataclass
class Rows:
    """Collects rows by table, and appends them to the spool when there are many."""

    scratch: ScratchRegistry
    _rows: dict[str, list[Mapping[str, object]]] = field(default_factory=dict)
    _claimed: set[tuple[str, ...]] = field(default_factory=set)
    _count: int = 0
    _bytes: int = 0

    def add(self, table: str, row: Mapping[str, object]) -> None:
        """One more row."""
        self._rows.setdefault(table, []).append(row)
        self._count += 1
        self._bytes += sum(len(value) for value in row.values() if isinstance(value, str))
        if self._count >= _AT_ONCE or self._bytes >= _BYTES_AT_ONCE:
            self.flush()

    def claim(self, table: str, id_: str, spot: Spot) -> bool:
        """Whether this is the first of its id; it is told if not."""
        key = (table, id_)
        if key in self._claimed:
            spot.of(table, id_).lost(f"there is another {id_}, which is carried", "duplicate")
            return False
        self._claimed.add(key)
        return True

    def flush(self) -> None:
        """Append what is at hand."""
        for table, rows in self._rows.items():
            self.scratch.append_rows(table, rows)
        self._rows.clear()
        self._count = self._bytes = 0
