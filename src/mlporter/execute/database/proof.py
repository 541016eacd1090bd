"""The proof of a transfer into a database: it is planned again, and nothing is left to do.

What is new was read back, value by value, which says more than a plan does. What was changed, moved
or removed is planned again: only these things, as all others are as they were.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.errors import ReadBackError
from mlporter.execute.database.prepare import plan_rows
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.merge.changes import Back
from mlporter.plan.three_sides.actions import Action, ActionBook, ActionKind
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.units import ENTITIES, Choice, Chosen, key_text

if TYPE_CHECKING:
    from mlporter.execute.database.prepared import Prepared
    from mlporter.plan.policy import Merge
    from mlporter.stores.database.target import DatabaseTarget

__all__ = ["Proof"]

_NAMED = 20
_DONE = (ActionKind.CREATE, ActionKind.UPDATE, ActionKind.MOVE, ActionKind.DELETE)
"""What is carried out; the rest of a plan says what stays."""


@dataclass
class Proof:
    """Plans once more, in the transaction in which rows were written.

    Attributes:
        work: What was copied.
        target: Where to.
        memory: What the first plan was made with.
        before: Rows of tables that lose some, counted before anything was written.
    """

    work: Prepared
    target: DatabaseTarget
    memory: Memory
    before: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Count rows, where some are to be removed."""
        tables = {removal.table for removal in self.work.merge.removals}
        self.before = {table: self.target.count(table) for table in sorted(tables)}

    def prove(self) -> None:
        """Plan again.

        Raises:
            ReadBackError: something is left to do, or more was removed than was planned.
        """
        self._count_removed()
        if self._has_changes():
            self._plan_again()

    def _has_changes(self) -> bool:
        merge = self.work.merge
        return bool(merge.updates or merge.removals or merge.touched or merge.appended)

    # --- Nothing else -----------------------------------------------------------------------------

    def _count_removed(self) -> None:
        """Look whether tables lost the rows that were planned, and no more."""
        new = {table.table: table.copied for table in self.work.counted}
        keys = {table.name: table.key for table in self.target.tables}
        for table, before in self.before.items():
            removals = [one for one in self.work.merge.removals if one.table == table]
            if any(one.columns != keys[table] for one in removals):
                continue  # all rows of something: nobody knows how many there were
            left = sum(n for one, n in self.work.merge.leftovers.items() if one.table == table)
            expected = before + new.get(table, 0) - len({one.key for one in removals}) - left
            found = self.target.count(table)
            if found != expected:
                raise ReadBackError(
                    f"has {found} rows, and is to have {expected}",
                    subject=f"{self.target.address} table {table}",
                )

    # --- An empty plan ----------------------------------------------------------------------------

    def _plan_again(self) -> None:
        work, old = self.work, self.memory
        again = Memory(
            base=old.base, book=ActionBook(), whole=old.whole or work.origin, subject=old.subject
        )
        again.count = self.target.count
        with closing(again.book):
            source = MappedSource(work.origin, IdMap(), self._changed())
            merge = plan_rows(
                source, self.target, work.plan.tables, work.policy, again, anchors=work.origin
            )
            left = [str(one) for one in self._news(again.book)]
            left += [f"{one.table} {one.key}" for one in merge.updates]
            left += [f"{one.table} {one.key}" for one in merge.removals]
            if left or any(merge.new.values()):
                raise ReadBackError(
                    "was planned again after writing, and something is still to be done",
                    subject=str(self.target.address),
                    hint="nothing was kept; please report this",
                    reasons=tuple(dict.fromkeys(left))[:_NAMED],
                )

    def _news(self, again: ActionBook) -> list[Action]:
        """What a second plan says and the first did not: what stayed then may stay now."""
        found = {line: Action.from_dict(json.loads(line)) for line in again.lines()}
        stays = {line for line, action in found.items() if action.kind not in _DONE}
        if stays:
            stays -= stays.intersection(self.memory.book.lines())
        return [one for line, one in found.items() if one.kind in _DONE or line in stays]

    def _changed(self) -> Choice:
        """Units of the source that get or lose something; what is matched by name is all there."""
        merge: Merge = self.work.merge
        units = set(merge.touched) | {("runs", run) for run in merge.appended}
        units |= {(one.table, key_text(one.key)) for one in merge.updates}
        back, found = Back(merge.ids), defaultdict[str, set[str]](set)
        for kind, key in units:
            found[kind].add(back.owner(kind, key))
        return Choice({kind: Chosen(frozenset(found[kind])) for kind in ENTITIES})
