"""What becomes of each unit of a source: runs, versions, traces …, kind by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.errors import LeftOut
from mlporter.plan.deleted_rows import Update, marked
from mlporter.plan.ids.copy_ids import CHILD_IDS, Copies
from mlporter.plan.ids.id_map import keeps_order
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.merge.decisions import Candidates, Decision, Side, decide_units
from mlporter.plan.merge.step import Step
from mlporter.plan.merge.suspects import OWN, STREAMED, Suspects
from mlporter.plan.policy import Conflict, Policy, Renamed, UnitCount
from mlporter.plan.side_reader import unique_keys, unit_keys
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.units import ENTITIES, KEY_OF, OF_WORKSPACES, REIDENTIFIED, Chosen, key_text
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.side_reader import Reader

__all__ = ["Units"]


@dataclass
class Units(Step):
    """Decides about units, and fills in the merge's id map.

    Attributes:
        chosen: What of each kind is copied.
        copies: Which ids copies get.
    """

    chosen: dict[str, Chosen] = field(default_factory=dict)
    copies: Copies = field(init=False)
    _mine: dict[str, dict[str, int | None]] = field(default_factory=dict)
    _same: Counter[str] = field(default_factory=Counter)
    _decided: dict[str, tuple[Candidates, Decision]] = field(default_factory=dict)
    _taken: dict[str, dict[str, str]] = field(default_factory=dict)
    _lacking_of: dict[str, frozenset[str]] = field(default_factory=dict)
    _updates: dict[str, Mapping[str, Update]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copies get the same ids each time."""
        self.copies = Copies(self.source, self.target, self.tables, self.matching.salt)

    def _units_of(self, entity: str) -> dict[str, int | None]:
        if entity not in self._mine:
            self._mine[entity] = unit_keys(self.source, entity)
        return self._mine[entity]

    def look_for_copies(self) -> None:
        """Learn of copies that an earlier import made: they are read as what they are copies of."""
        back = self.comparison.back
        for entity in (e for e in ENTITIES if e in REIDENTIFIED and e in self.tables):
            self.copies.add_back(entity, self.copies.found(entity, self.source.count(entity)), back)

    def differing_versions(self) -> set[str]:
        """Versions that both sides have under one name and number, and that differ."""
        keys = self.mapped_keys("model_versions", set(self._units_of("model_versions")))
        there = self._there("model_versions", keys).units
        both = {old: new for old, new in keys.items() if new in there}
        unequal = self.comparison.unequal("model_versions", both, self.merge.ids)
        return set(unequal.why) - self.deletions.dead_alike(keys)

    def choose(self, entity: str) -> None:
        """Decide about all units of a kind."""
        self.on_progress(f"comparing {entity}", 0, None)
        self._move_children(entity)
        self._leave_same(entity)
        mine = self._units_of(entity)
        if not mine and not self._same[entity]:
            return
        keys = self.mapped_keys(entity, set(mine))
        ids = self._ids_for(entity)
        candidates = Candidates(
            entity=entity,
            keys=keys,
            source=Side(mine, {}),
            target=self._there(entity, keys),
            experiments=ids.experiment,
            taken=self._twins(entity),
            originals=self.comparison.back.of(entity),
        )
        found = self.comparison.unequal(entity, candidates.to_compare(), ids)
        unequal = dict(found.why)
        unequal |= dict.fromkeys(self.comparison.unequal_twins(entity, candidates.twins(), ids), "")
        if entity == "model_versions":
            dead = self.deletions.dead_alike(keys)
            unequal = {key: why for key, why in unequal.items() if key not in dead}
        deleted = found.deleted
        unequal |= self._added(entity, candidates, found.added, ids)
        if self.policy.updates:
            both = candidates.to_compare()
            changed = {k: both[k] for k in both if k in unequal or k in found.added}
            changed |= {k: both[k] for k in deleted if k in both and not self.policy.undelete}
            self.changes.of_units(entity, changed, ids)
            unequal = {key: why for key, why in unequal.items() if key not in changed}
            deleted = {key: update for key, update in deleted.items() if key not in changed}
        decision = decide_units(candidates, unequal, self.policy, deleted)
        self._updates[entity] = deleted
        self._removed(entity, candidates, decision)
        self.merge.ids.change(entity, decision.twins)
        self._decided[entity] = (candidates, decision)

    def _leave_same(self, entity: str) -> None:
        """Of very many units, look one by one only at those that are not plainly the same."""
        ids = self._ids_for(entity)
        is_mapped = bool(ids.of(entity) or self.comparison.back.of(entity))
        if entity not in STREAMED or is_mapped or self.policy.on_conflict == "rename":
            return
        count = self.source.count(entity)
        if self.memory.count(entity) > 2 * count + OWN:
            return  # nearly all of them are the target's own
        suspects = Suspects(self.comparison, self.source, self.target, entity, ids).look()
        if suspects is not None:
            self._mine[entity] = unit_keys(self.source, entity, suspects)
            self._same[entity] = count - len(self._mine[entity])

    def _added(
        self, entity: str, candidates: Candidates, added: frozenset[str], ids: IdMap
    ) -> dict[str, str]:
        """What the target has more of some units is its own, unless the source had it once.

        Returns:
            Those of which it had, and what.
        """
        if self.policy.updates or not added:
            return {}
        both = candidates.to_compare()
        plan = self.changes.planner.plan
        before = len(plan.conflicts)
        self.changes.of_units(entity, {key: both[key] for key in both if key in added}, ids)
        names = {both[key].replace("\x1f", "/"): key for key in both if key in added}
        found = {names[name]: why for _, name, why in plan.conflicts[before:] if name in names}
        del plan.conflicts[before:]
        return found

    def _removed(self, entity: str, candidates: Candidates, decision: Decision) -> None:
        """What was sent once, and the target has no more: `sync` leaves it so, and says so."""
        settled = decision.there | decision.skipped.keys() | decision.twins.keys()
        lacking = {
            key: new
            for key, new in candidates.keys.items()
            if new not in candidates.target.units and key not in settled
        }
        sent = self.memory.base.groups(entity, set(lacking.values()))
        purged = {key: "it" for key, new in lacking.items() if new in sent}
        if not self.policy.leaves_removed:
            decision.put_back = set(purged)
            return
        for key in lacking.keys() - purged.keys():
            number = candidates.source.units[key]
            if number is not None and number in self.matching.removed_experiments:
                purged[key] = "its experiment"
            elif entity == "model_versions" and self._model_of(key) in self.matching.removed_models:
                purged[key] = "its model"
        for key, what in sorted(purged.items()):
            why = f"{what} was removed at the target"
            name = candidates.keys[key].replace("\x1f", "/")
            self.memory.book.add(Action(ActionKind.KEEP, entity, name, why=why))
        decision.purged = set(purged)

    @staticmethod
    def _model_of(version: str) -> tuple[str, str]:
        workspace, name, _ = version.split("\x1f")
        return workspace, name

    def _move_children(self, entity: str) -> None:
        """New ids for rows below units whose ids the target has below others."""
        for table, taken, new in self.copies.taken(entity):
            self.merge.ids.change(table, new)
            self._taken[table] = taken

    def _ids_for(self, entity: str) -> IdMap:
        """What is called otherwise when units of a kind are compared.

        What cannot be copied is the same thing also where the experiment or the scorer that it
        names is copied under another name: it goes on naming the target's.
        """
        if entity in REIDENTIFIED or entity == "model_versions":
            return self.merge.ids
        return self._own_names

    @cached_property
    def _own_names(self) -> IdMap:
        return self.matching.by_own_names()

    def mapped_keys(self, entity: str, keys: set[str]) -> dict[str, str]:
        """The target's key of each unit, before any is copied under a new id."""
        if entity not in OF_WORKSPACES or self.merge.ids.is_identity:
            return {key: key for key in keys}
        mapped = {}
        ids = self.merge.ids
        for key in keys:
            workspace, name, *rest = key.split("\x1f")
            new = ids.model(workspace, name) if entity == "model_versions" else name
            mapped[key] = key_text((ids.workspace(workspace), new, *rest))
        return mapped

    def _there(self, entity: str, keys: Mapping[str, str]) -> Side:
        """What the target has of some units, whose keys there are given by the source's.

        A tombstone is nothing that is there, unless the source has one as well.
        """
        found = unit_keys(self.target, entity, set(keys.values()))
        if entity == "model_versions":
            dead = self.deletions.dead_only_there(keys)
            found = {key: value for key, value in found.items() if key not in dead}
        return Side(found, self._unique(entity, self.target))

    def lacking(self, entity: str) -> frozenset[str]:
        """What the source has of a kind, and the target has not or has marked as deleted."""
        if entity == "experiments":
            return self.matching.new_experiments
        if entity not in self._lacking_of:
            mine = set(self._units_of(entity)) if entity in KEY_OF else set()
            there = unit_keys(self.target, entity, mine).keys() - marked(self.target, entity, mine)
            self._lacking_of[entity] = frozenset(mine - there)
        return self._lacking_of[entity]

    def is_there(self, entity: str, key: str) -> bool:
        """Whether the target has a unit, and it is the same."""
        candidates, decision = self._decided.get(entity, (None, None))
        back = {new: old for old, new in candidates.keys.items()} if candidates is not None else {}
        return decision is not None and back.get(key) in decision.there

    def comes(self, entity: str, key: str) -> bool:
        """Whether a unit is copied, or restored."""
        if entity == "experiments":
            return key in self.matching.new_experiments
        _, decision = self._decided.get(entity, (None, None))
        restored = decision is not None and key in decision.restored
        return restored or key in self.merge.new.get(entity, ())

    def _unique(self, entity: str, reader: Reader) -> dict[str, str]:
        found: dict[str, str] = {}
        for columns in BY_NAME[entity].unique:
            found |= unique_keys(reader, entity, columns)
        return found

    def _twins(self, entity: str) -> dict[str, str]:
        """What each unit of the source would be called that must be unique in the target."""
        if not BY_NAME[entity].unique:
            return {}
        mapped = MappedReader(self.source, self.merge.ids)
        return {key: name for name, key in self._unique(entity, mapped).items()}

    def settle(self) -> None:
        """Look for copies that an earlier import made, then say under which ids they go."""
        copied = {e: self._copies(e, *decided) for e, decided in self._decided.items()}
        for entity, new in copied.items():
            if new:
                self._rename(entity, new)
        for entity, (candidates, decision) in self._decided.items():
            self._settle(entity, decision, candidates)

    def _copies(self, entity: str, candidates: Candidates, decision: Decision) -> dict[str, str]:
        """The id of every copy; those that are there already are not made again."""
        if not decision.copied:
            return {}
        new = self.copies.ids(
            entity, {key: candidates.source.units[key] for key in decision.copied}
        )
        again = Candidates(
            entity=entity,
            keys=new,
            source=Side({key: candidates.source.units[key] for key in new}, {}),
            target=self._there(entity, new),
            experiments=candidates.experiments,
            taken={},
        )
        ids = self.merge.ids
        plain = replace(ids, ids={t: m for t, m in ids.ids.items() if t not in CHILD_IDS})
        unequal = self.comparison.unequal(entity, again.to_compare(), plain)
        second = decide_units(again, unequal.why, Policy(), unequal.deleted)
        for conflict in second.conflicts:
            why = f"the copy that an earlier import made of it, {new[conflict.id]}, is different"
            decision.conflicts.append(Conflict(conflict.kind, conflict.id, why))
        decision.there |= second.there
        made = sorted(set(new) - second.there)
        self.merge.renamed += [Renamed(entity, key, new[key]) for key in made]
        return new

    def _rename(self, entity: str, new: dict[str, str]) -> None:
        """Let copies, and the rows below them, have their new ids."""
        ids = self.merge.ids
        ids.change(entity, new)
        if keeps_order(ids.of(entity), set(self._units_of(entity))):
            ids.ordered.add(entity)
        for table, children in self.copies.below(entity, new).items():
            ids.change(table, children)

    def _settle(self, entity: str, decision: Decision, candidates: Candidates) -> None:
        merge, keys = self.merge, candidates.keys
        merge.conflicts += decision.conflicts
        out = frozenset(decision.there | decision.skipped.keys() | decision.purged)
        new = frozenset(set(keys) - out)
        same = self._same[entity]
        few = same > 0 or len(new) < len(out)
        self.chosen[entity] = Chosen(new) if few else Chosen(out, without=True)
        if decision.skipped or decision.purged:
            merge.skipped[entity] = Chosen(frozenset(decision.skipped.keys() | decision.purged))
        renamed = merge.ids.of(entity)
        merge.new[entity] = frozenset(renamed.get(key, keys[key]) for key in new)
        self.memory.book.create(entity, sorted(new), decision.put_back)
        restored = [self._updates[entity][key] for key in sorted(decision.restored)]
        merge.updates += restored
        left = len(decision.skipped) + len(decision.purged)
        count = UnitCount(entity, len(new), len(decision.there) + same, left, len(restored))
        merge.units.append(count)
        for key, why in sorted(decision.skipped.items()):
            what = f"{why}; {self.policy.stays}"
            merge.left_out.append(LeftOut(entity, key.replace("\x1f", "/"), "", "conflict", what))

    def note_children(self) -> None:
        """Say how many rows of new units get other ids."""
        for table, taken in self._taken.items():
            new = self.merge.new.get(CHILD_IDS[table], frozenset())
            count = sum(parent in new for parent in taken.values())
            if count:
                self.merge.notes.append(
                    f"New ids for {plural(count, 'row')} of {table}: theirs are taken in the "
                    "target."
                )
