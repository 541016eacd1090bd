"""``verify`` of a snapshot: every row of its tables, read by whichever worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.bundle.checks.parts import LookAtPart, LookedAtRows, OrderOfParts, count_rows
from mlporter.bundle.storage.stored_parts import StoredParts
from mlporter.bundle.tables.layers import LayeredTables
from mlporter.bundle.tables.rows import OrderCheck
from mlporter.catalogue.tables.own import REPLACED
from mlporter.catalogue.types import Kind
from mlporter.errors import MlporterError
from mlporter.repository.layout import part_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.bundle.checks.parts import LookAtRows
    from mlporter.bundle.documents.manifest_entries import PartEntry, TableEntry
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.catalogue.types import Table

__all__ = ["SnapshotTable"]


@dataclass(frozen=True, slots=True)
class _LookAtLayers:
    """Read a table whose rows lie in layers: all of it, as they belong together."""

    storage: Storage
    table: Table
    entries: Mapping[str, TableEntry]

    def look(self) -> LookedAtRows:
        """Read it."""
        looked, table = LookedAtRows(), self.table
        order = OrderCheck(table.key, repeats=table.repeats)
        parts = StoredParts(self.storage, _path_of)
        try:
            for batch in LayeredTables(parts, self.entries).read(table):
                count_rows(batch, table, order, looked)
        except (MlporterError, ValueError) as error:
            looked.problem = "content", str(error)
        looked.first, looked.last = order.first, order.last
        return looked


class SnapshotTable:
    """A table of a snapshot: decoded, in order, and with as many rows as it says."""

    def __init__(
        self, storage: Storage, name: str, entries: Mapping[str, TableEntry], report: VerifyReport
    ) -> None:
        """Of these tables, that of a name."""
        self._storage = storage
        self._entry = entries[name]
        self._table = self._entry.table(name)
        self._entries = {one: entries[one] for one in (name, REPLACED.name) if one in entries}
        self._report = report
        self._path = f"tables/{name}"
        self._order = OrderOfParts(self._table)
        self._rows = 0
        self._is_sound = True

    def tasks(self) -> Iterator[LookAtRows]:
        """What there is to read, to be looked at by anybody."""
        if self._entry.layers:
            yield _LookAtLayers(self._storage, self._table, self._entries)
            return
        for part in self._entry.parts:
            there = part.model_copy(update={"path": _path_of(part)})
            yield LookAtPart(self._storage, self._table, there)

    def take(self, looked: LookedAtRows) -> None:
        """Take what was found in the next of it; the first thing that is wrong is said."""
        problem = looked.problem
        if self._order.disorder(looked) and problem is None:
            problem = "order", "rows are not in order"
        if problem is not None and self._is_sound:
            self._report.add(self._path, *problem)
            self._is_sound = False
        self._rows += looked.rows

    def finish(self) -> None:
        """All was taken."""
        if not self._is_sound:
            return
        self._report.rows += self._rows
        if self._table.kind is Kind.OWN:
            self._report.own_rows += self._rows
        if self._rows != self._entry.rows:
            detail = f"has {self._rows:,} rows, and not {self._entry.rows:,}"
            self._report.add(self._path, "content", detail)


def _path_of(part: PartEntry) -> str:
    return part_object(part.sha256)
