"""What of a target follows the source: values that changed, and what the source has no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.errors import LeftOut
from mlporter.plan.deleted_rows import tombstones
from mlporter.plan.merge.single_rows import BELOW
from mlporter.plan.merge.step import Step
from mlporter.plan.merge.suspects import STREAMED
from mlporter.plan.policy import Conflict, Removal
from mlporter.plan.side_reader import experiments_of, models_of, unit_keys
from mlporter.plan.three_sides.names import lacking
from mlporter.plan.three_sides.vanished import Vanished, check_how_many
from mlporter.plan.units import KEY_OF, key_text
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from mlporter.plan.merge.units import Units

__all__ = ["Following"]


@dataclass
class Following(Step):
    """Lets a merge do what is planned row by row; where changes are sent.

    Attributes:
        units: What was decided about units.
    """

    units: Units

    def match(self) -> None:
        """Plan what becomes of experiments and models that both sides have, and rows below them."""
        ids, both = self.merge.ids, self.is_matched
        self.changes.of_matched("experiments", ids, both("experiments"))
        self.changes.of_matched("registered_models", ids, both("registered_models"))
        for table, kind in BELOW.items():
            if self.comparison.is_on_both(table):
                self.changes.of_rows(table, ids, both(kind))

    def take(self) -> None:
        """Let the merge do what was planned row by row."""
        merge, plan = self.merge, self.changes.planner.plan
        vanished = self._vanished()
        merge.updates += self.changes.updates(merge.ids) + vanished.updates
        merge.removals = [
            Removal(table, columns, key)
            for removals in (plan.removals, vanished.removals)
            for table, rows in removals.items()
            for columns, key in rows
        ]
        merge.appended = dict(self.changes.appended)
        merge.disputed = dict(plan.disputed)
        merge.touched = set(plan.touched)
        merge.forgotten = [*vanished.forgotten, *vanished.doomed]
        dead = tombstones(self.source) if merge.forgotten else frozenset()
        merge.gone = frozenset(one for one in merge.forgotten if one[1] not in dead)
        for kind, name, why in plan.conflicts:
            if self.policy.step is None:
                merge.conflicts.append(Conflict(kind, name, why))
            else:
                said = f"{why}; the target keeps its own"
                merge.left_out.append(LeftOut(kind, name, "", "conflict", said))

    def _vanished(self) -> Vanished:
        """What was sent and the source has no more."""
        vanished = Vanished(self.changes.gone_sides, self.target, self.changes.planner, self._gone)
        step = self.policy.step
        if self.policy.updates and self.memory.base.is_known:
            vanished.run()
            if step is not None and step.delete:
                check_how_many(
                    vanished.going, self.memory.count, step.max_delete, self.memory.subject
                )
        return vanished

    def _gone(self, kind: str) -> set[str]:
        """What of a kind was sent, and the whole source has no more, by the target's keys."""
        names = self.memory.base.names(kind)
        if kind in STREAMED and not self.merge.ids.of(kind):
            rows = rows_of(self.memory.whole or self.source, kind, KEY_OF[kind])
            return lacking(names, (key for (key,) in rows))
        sent = set(names)
        return sent - self._alive(kind) if sent else sent

    def _alive(self, kind: str) -> set[str]:
        """What the whole source has of a kind, by the target's keys."""
        whole, ids = self.memory.whole or self.source, self.merge.ids
        if kind == "experiments":
            noted = self.memory.base.noted("experiments")
            known = {number: ids.experiment(number) for number in ids.experiments}
            known |= {int(old): int(new) for old, new in noted.items()}
            return {str(known.get(e.number, e.number)) for e in experiments_of(whole)}
        if kind == "registered_models":
            return {key_text((ids.workspace(w), ids.model(w, n))) for w, n in models_of(whole)}
        keys = set(unit_keys(whole, kind))
        if kind == "model_versions":
            keys -= tombstones(whole)
        renamed = ids.of(kind)
        return {renamed.get(old, new) for old, new in self.units.mapped_keys(kind, keys).items()}
