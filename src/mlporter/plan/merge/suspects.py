"""Units that are plainly the same on both sides, found in whole tables while they stream by.

Only the others are held, and looked at one by one. So a registry in which little changed takes the
memory, and about the time, of what changed and of reading both sides once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.compare.rows.streams import Merge
from mlporter.errors import BundleDamagedError
from mlporter.plan.deleted_rows import LIFECYCLE
from mlporter.plan.ids.mapped_rows import MappedReader, edge_end, edges_of
from mlporter.plan.units import KEY_OF, OWNED, key_array, key_text, tables_of
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlporter.compare.report import Difference
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.side_reader import Reader

__all__ = ["OWN", "STREAMED", "Suspects"]

STREAMED = frozenset({"runs", "logged_models", "trace_info"})
"""Kinds of units of which there may be very many; nothing but their ids must be unique."""

MOST = 20_000
"""Where more units than this are not the same, all are looked at one by one."""

OWN = 100
"""Where the target has more than this besides twice what the source has, most is its own: it is
not read for the sake of a few."""

_EDGES = frozenset({"inputs", "input_tags"})


class _TooManyError(Exception):
    """So many units are not the same that it is no use to single them out."""


@dataclass
class Suspects:
    """Finds the units of a kind that are not plainly the same on both sides.

    Attributes:
        comparison: Says how each table is compared.
        source: One side.
        target: The other one.
        entity: The kind: one of `STREAMED`.
        ids: What of the source is called otherwise in the target; units of the kind are not.
        found: Keys of what differs, and of what only one side has.
    """

    comparison: Comparison
    source: Reader
    target: Reader
    entity: str
    ids: IdMap
    found: set[str] = field(default_factory=set)

    def look(self) -> set[str] | None:
        """Their keys; None where they are too many, or tables cannot be compared as a whole.

        Rows of nobody may lack a key or repeat one, which those of units do not.
        """
        mine = MappedReader(self.source, self.ids)
        theirs = MappedReader(self.target, self.comparison.back)
        try:
            for table in tables_of(self.entity):
                if self.comparison.is_on_both(table):
                    self._look_at(table, mine, theirs)
            self._add_deleted()
        except (_TooManyError, BundleDamagedError):
            return None
        return self.found

    def _look_at(self, name: str, mine: MappedReader, theirs: MappedReader) -> None:
        if name == "metrics" and (others := self.comparison.other_points) is not None:
            self._add(others)
            return
        sides = self.comparison.sides(name, mine, theirs)
        if sides is None:
            return
        unknown: list[Difference] = []
        owner = OWNED[name].columns if name in OWNED else ()

        def note(difference: Difference) -> None:
            if name not in _EDGES and set(owner) <= difference.key.keys():
                self._add((key_text(difference.key[column] for column in owner),))
            else:
                unknown.append(difference)
                _check(unknown)

        merge = Merge(sides.pair.table, sides.of_source(), sides.of_target(), note)
        while merge.step():
            pass
        if unknown:
            self._add(self._owners(name, (mine, theirs), unknown))

    def _owners(
        self, name: str, sides: tuple[MappedReader, MappedReader], found: list[Difference]
    ) -> set[str]:
        """Whose rows these are, of a table whose key does not tell; they may be others' there."""
        if name == "inputs":
            return {edge_end(one.key) for one in found}
        if name == "input_tags":
            edges = [edges_of(side) for side in sides]
            ids = [str(one.key["input_uuid"]) for one in found]
            return {side[edge] for side in edges for edge in ids if edge in side}
        entry, _ = self.comparison.entries(name)
        order, owner = entry.order if entry is not None else (), OWNED[name].columns
        wanted = {key_text(one.key[column] for column in order) for one in found}
        return {
            key_text(row[len(order) :])
            for side in sides
            for row in rows_of(side, name, (*order, *owner))
            if key_text(row[: len(order)]) in wanted
        }

    def _add_deleted(self) -> None:
        """What the target has marked as deleted: it counts as lacking for what refers to it."""
        there = {table.name: table for table in self.target.tables}
        if self.entity not in LIFECYCLE or self.entity not in there:
            return
        key = KEY_OF[self.entity]
        among = Among("lifecycle_stage", ("deleted",))
        for batch in self.target.read(self.entity, (*key, "lifecycle_stage"), among):
            self._add(key_array(batch, key).to_pylist())

    def _add(self, keys: Collection[str]) -> None:
        self.found.update(keys)
        _check(self.found)


def _check(found: Collection[object]) -> None:
    if len(found) > MOST:
        raise _TooManyError
