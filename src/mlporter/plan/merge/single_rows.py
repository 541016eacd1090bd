"""Rows that stand alone, and those below what is matched by name: new, there, or another one."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlporter.catalogue import BY_NAME
from mlporter.compare.report import ONLY_LEFT
from mlporter.errors import LeftOut
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.merge.equality import RowStates
from mlporter.plan.merge.step import Step
from mlporter.plan.policy import Conflict
from mlporter.plan.units import ROWWISE, Chosen, key_text
from mlporter.stores.rows.version_locations import rows_of

__all__ = ["BELOW", "SingleRows"]

BELOW = {
    "experiment_tags": "experiments",
    "registered_model_tags": "registered_models",
    "registered_model_aliases": "registered_models",
}
"""Rows below what is matched by name."""


@dataclass
class SingleRows(Step):
    """Decides about rows one by one.

    Attributes:
        rows: By table, rows (the target's keys) that are not copied.
    """

    rows: dict[str, frozenset[str]] = field(default_factory=dict)

    def compare(self, table: str) -> None:
        """Rows that stand alone: new, there, or another one under the same key."""
        if not self.comparison.is_carried(table):
            return
        self.on_progress(f"comparing {table}", 0, None)
        states = self.comparison.rows(table, self.merge.ids)
        # What is left over of something else is no row of what comes.
        left = {key_text(one.key) for one in self.merge.leftovers if one.table == table}
        states = RowStates(
            states.there - left, {k: v for k, v in states.differ.items() if k not in left}
        )
        self.rows[table] = states.there.union(states.differ)
        if self.policy.updates and table in BELOW:
            # What somebody took away at the target stays away.
            kept = self.changes.planner.plan.kept[table]
            self.rows[table] |= {key_text(key) for key, row in kept.items() if row is None}
            return
        if table in ROWWISE:
            self._taken_away(table)
        if not states.differ:
            return
        # What only a newer MLflow knows is never changed; `sync` goes on without it.
        is_told = self.policy.step is not None and table not in BY_NAME
        stays = self.policy.on_conflict == "skip" or is_told
        if stays:
            self.merge.skipped_rows[table] += len(states.differ)
        for key, what in sorted(states.differ.items()):
            name = key.replace("\x1f", "/")
            if stays:
                how = " (sync does not change rows of a new table)" if is_told else ""
                why = f"{what}; {self.policy.stays}{how}"
                self.merge.left_out.append(LeftOut(table, name, "", "conflict", why))
            else:
                self.merge.conflicts.append(Conflict(table, name, what))

    def _taken_away(self, table: str) -> None:
        """What of these was sent and somebody took away at the target: no more comes silently.

        An alias or a link is made again, and reported, or stays away (`sync`); a tag is in
        conflict, like any other that was edited.
        """
        plan = self.changes.planner.plan
        before = len(plan.conflicts)
        matched = self.is_matched(BELOW[table]) if table in BELOW else lambda _: True
        self.changes.of_rows(table, self.merge.ids, matched, {ONLY_LEFT})
        kept = {key_text(key) for key, row in plan.kept[table].items() if row is None}
        self.rows[table] |= kept
        self.merge.skipped_rows[table] += len(kept) if self.policy.leaves_out else 0
        if self.policy.updates:
            return  # conflicts are taken with all others
        for kind, name, why in plan.conflicts[before:]:
            if self.policy.on_conflict == "skip":
                said = f"{why}; {self.policy.stays}"
                self.merge.left_out.append(LeftOut(kind, name, "", "conflict", said))
            else:
                self.merge.conflicts.append(Conflict(kind, name, why))
        del plan.conflicts[before:]

    def _rows_below_removed(self, table: str) -> frozenset[str]:
        """Rows (the target's keys) below experiments and models that the target removed."""
        ids, matching = self.merge.ids, self.matching
        gone = {str(ids.experiment(number)) for number in matching.removed_experiments}
        gone |= {key_text((ids.workspace(w), ids.model(w, n))) for w, n in matching.removed_models}
        entry = self.tables[table]
        columns = ("experiment_id",) if "experiment_id" in entry.by_name else ("workspace", "name")
        if not gone or not set(columns) <= entry.by_name.keys():
            return frozenset()
        wanted = (*entry.order, *columns)
        return frozenset(
            key_text(row[: len(entry.order)])
            for row in rows_of(MappedReader(self.source, ids), table, wanted)
            if key_text(row[len(entry.order) :]) in gone
        )

    def leave_removed(self) -> None:
        """Leave out what the target removed, and what is below it."""
        matching, skipped = self.matching, self.merge.skipped
        if matching.removed_experiments:
            skipped["experiments"] = Chosen(matching.removed_experiments)
        if matching.removed_models:
            keys = frozenset(map(key_text, matching.removed_models))
            skipped["registered_models"] = Chosen(keys)
        for table in ("datasets", *BELOW):
            if table in self.tables and (rows := self._rows_below_removed(table)):
                self.rows[table] = self.rows.get(table, frozenset()) | rows
                self.merge.skipped_rows[table] += len(rows)
