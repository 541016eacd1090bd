"""What a kind of target can do with a row: its capabilities, applied to both sides of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.plan.three_sides.keys import key_text
from mlporter.plan.units import MODELS, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlporter.plan.capabilities import Can, Capabilities, Facts
    from mlporter.plan.three_sides.row import Row, SidedRow, Values

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Asks the table of a kind of target, and what there is to know of both sides.

    Attributes:
        can: What the kind of target can do.
        facts: What there is to know of both sides besides their rows.
        refused: Units of the target that are another thing.
        absent: Units that stay away from the target, by table.
        new: Units that the target gets, by table.
    """

    can: Capabilities
    facts: Facts
    refused: Collection[tuple[str, str]]
    absent: Mapping[str, Collection[str]]
    new: Mapping[str, Collection[str]]

    def of(self, row: SidedRow) -> Can:
        """What can be done with a row."""
        return self.can.of(row.table.name)

    def is_limit(self, row: SidedRow, column: str, value: object) -> bool:
        """Whether a column differs because of what the kind of target cannot be told."""
        can = self.of(row)
        if column in can.made_up:
            return not value
        kind = can.may_lack.get(column)
        return kind is not None and not self.facts.has(kind, str(value))

    def is_unfinished(self, row: SidedRow, column: str, theirs: Row) -> bool:
        """Whether the target has what a thing has before a later step of its transfer."""
        return theirs.values[column] in self.of(row).first.get(column, ())

    def is_ahead(self, row: SidedRow, theirs: Row) -> bool | None:
        """Whether the target's row, where rows only ever go on, is ahead of the source's."""
        order = self.of(row).grows
        if not order or row.mine is None:
            return None
        mine, there = ([side.values[name] for name in order] for side in (row.mine, theirs))
        return None if mine == there else there > mine

    def not_again(self, row: SidedRow) -> str:
        """Why something cannot be made again that the target deleted, or ""."""
        model = key_text(row.owner[1].split(SEPARATOR)[:2])
        return "" if model in self.new.get(MODELS, ()) else self.of(row).once

    def refuses(self, row: SidedRow, values: Values) -> str:
        """Why the target cannot take a row as the source has it, or ""."""
        can = self.of(row)
        if can.takes_along and values.get("lifecycle_stage") == "deleted":
            return can.takes_along if self.facts.holds_own(*row.owner) else ""
        if can.names is None:
            return ""
        kind, columns = can.names
        key, last = key_text(values[name] for name in columns), values[columns[-1]]
        if (kind, key) in self.refused:
            return f"the target has a different version {last}"
        is_there = key not in self.absent.get(kind, ()) and self.facts.has(kind, key)
        return "" if is_there else f"the target does not have version {last}"
