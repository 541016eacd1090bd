"""Decide what a merge will do: match by name, then by id, compare what both sides have.

The decisions are pure functions (`matching.names`, `decisions`); this asks both sides what they
need to know.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut
from mlporter.plan.deleted_rows import Lost, Update, marked, tombstones
from mlporter.plan.ids.copy_ids import CHILD_IDS, Copies
from mlporter.plan.ids.id_map import keeps_order
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.matching.by_name import Matching
from mlporter.plan.matching.datasets import match_datasets, match_edges
from mlporter.plan.merge.changes import FIXED, Changes, changed_later
from mlporter.plan.merge.decisions import Candidates, Decision, Side, decide_units
from mlporter.plan.merge.deletions import Deletions, notes_on_deleted
from mlporter.plan.merge.equality import Comparison, RowStates
from mlporter.plan.merge.suspects import OWN, STREAMED, Suspects
from mlporter.plan.policy import Conflict, Merge, Policy, Removal, Renamed, UnitCount
from mlporter.plan.side_reader import (
    Nothing,
    experiments_of,
    models_of,
    unique_keys,
    unit_keys,
)
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.three_sides.memory import Memory
from mlporter.plan.three_sides.names import lacking
from mlporter.plan.three_sides.rows import RowPlanner
from mlporter.plan.three_sides.vanished import Vanished, check_how_many
from mlporter.plan.units import (
    ENTITIES,
    KEY_OF,
    OF_WORKSPACES,
    REIDENTIFIED,
    ROWWISE,
    Choice,
    Chosen,
    key_text,
)
from mlporter.stores.rows.version_locations import rows_of
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.side_reader import Reader
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["resolve", "resolve_fresh"]


def resolve(
    source: Source,
    target: Reader,
    tables: tuple[Table, ...],
    *,
    policy: Policy,
    largest_experiment: int,
    holds_references: bool,
    on_progress: OnProgress,
    memory: Memory | None = None,
) -> Merge:
    """What carrying `tables` of `source` into `target` will do.

    Args:
        source: What is carried: a selection, or all.
        target: What is there, in one snapshot or transaction.
        tables: The tables that are carried, with the columns that are.
        policy: What to do about conflicts.
        largest_experiment: The largest experiment id that the target can hold.
        holds_references: Whether the target never had a row that refers to nothing.
        on_progress: Told what is being compared.
        memory: What was last sent, and where actions go.
    """
    work = _Resolver(
        source,
        target,
        tables,
        policy=policy,
        largest=largest_experiment,
        holds_references=holds_references,
        on_progress=on_progress,
        memory=memory or Memory(),
    )
    return work.run()


def resolve_fresh(
    source: Source,
    tables: tuple[Table, ...],
    policy: Policy,
    largest_experiment: int,
    memory: Memory | None = None,
) -> Merge:
    """The same where the target holds nothing: only names and too large ids change."""
    merge = Merge()
    nothing = Nothing(source.tables)
    comparison = Comparison(source, nothing, ())
    matching = Matching(
        source,
        nothing,
        comparison,
        merge,
        policy=policy,
        largest=largest_experiment,
        memory=memory,
    )
    matching.experiments()
    matching.models(set)
    merge.renamed = matching.renamed()
    merge.noted = matching.noted([])
    if memory is not None and memory.lists:
        names = {table.name for table in tables}
        for entity in (entity for entity in ENTITIES if entity in names):
            memory.book.create(entity, unit_keys(source, entity))
        matching.note_new()
    return merge


class _Resolver:
    def __init__(
        self,
        source: Source,
        target: Reader,
        tables: tuple[Table, ...],
        *,
        policy: Policy,
        largest: int,
        holds_references: bool,
        on_progress: OnProgress,
        memory: Memory,
    ) -> None:
        self.memory = memory
        self.source = source
        self.target = target
        self.tables = {table.name: table for table in tables}
        self.policy = policy
        self.deletions = Deletions(source, target, holds_references=holds_references)
        self.on_progress = on_progress
        self.merge = Merge()
        self.comparison = Comparison(source, target, tables, Lost(self._lacking))
        self.comparison.quick = policy.is_quick
        self.matching = Matching(
            source,
            target,
            self.comparison,
            self.merge,
            policy=policy,
            largest=largest,
            memory=memory,
        )
        self.units: dict[str, Chosen] = {}
        self.rows: dict[str, frozenset[str]] = {}
        self.copies = Copies(source, target, self.tables, self.matching.salt)
        self._mine: dict[str, dict[str, int | None]] = {}
        self._same = Counter[str]()
        self._decided: dict[str, tuple[Candidates, Decision]] = {}
        self._taken: dict[str, dict[str, str]] = {}
        self._lacking_of: dict[str, frozenset[str]] = {}
        self._updates: dict[str, Mapping[str, Update]] = {}
        self.changes = Changes(
            self.comparison,
            source,
            target,
            RowPlanner(
                memory.base,
                policy.wish,
                memory.book,
                is_newer=changed_later(source, target, self.merge.ids),
                fixed=FIXED,
                refuses=self._refuses,
            ),
        )

    def run(self) -> Merge:
        """Names first, then what belongs to an experiment, then models, then single rows."""
        merge = self.merge
        self.matching.experiments()
        self.units["workspaces"] = self.matching.workspaces()
        self.units["experiments"] = Chosen(self.matching.old_experiments, without=True)
        if "datasets" in self.tables:
            dropped = match_datasets(self.source, self.target, merge.ids, self.matching.salt)
            self.rows["datasets"] = dropped
        if "inputs" in self.tables and self.source.description.over_rest:
            match_edges(self.source, self.target, merge.ids)
        self._look_for_copies()
        for entity in ENTITIES:
            if entity == "model_versions":
                self.units["registered_models"] = self.matching.models(self._versions)
            if entity in self.tables:
                self._units(entity)
        self._settle_all()
        self.matching.note_new()
        self._note_children()
        if self.policy.updates:
            self._matched()
        merge.leftovers = self.deletions.leftovers(merge.new, self.matching)
        for table in (*ROWWISE, *self._unknown()):
            if table in self.tables:
                self._single_rows(table)
        self._leave_removed()
        besides, links = self.comparison.lost.mendable(self._is_there, self._comes)
        inserted, below = self.changes.inserted(merge.ids)
        merge.choice = Choice(
            {k: v for k, v in self.units.items() if v.keys or not v.without},
            {k: v for k, v in self.rows.items() if v},
            {t: besides.get(t, frozenset()) | inserted.get(t, frozenset())
             for t in {*besides, *inserted}},
            {table: keys for table, keys in below.items() if table not in besides},
        )  # fmt: skip
        merge.updates += self.matching.restorations()
        if self.policy.updates:
            self._take_changes()
        merge.links = links
        self.memory.book.create("experiments", iter(sorted(self.matching.new_experiments)))
        self.memory.book.create("registered_models", iter(sorted(self.matching.new_models)))
        merge.noted = self.matching.noted(merge.updates)
        merge.notes += notes_on_deleted(merge, len(self.matching.restored))
        merge.renamed = self.matching.renamed() + merge.renamed
        return merge

    def _unknown(self) -> list[str]:
        others = (table for table in self.tables.values() if table.kind is not Kind.USERS)
        return [table.name for table in others if table.name not in BY_NAME]

    # --- Units --------------------------------------------------------------------------------

    def _units_of(self, entity: str) -> dict[str, int | None]:
        if entity not in self._mine:
            self._mine[entity] = unit_keys(self.source, entity)
        return self._mine[entity]

    def _look_for_copies(self) -> None:
        """Learn of copies that an earlier import made: they are read as what they are copies of."""
        back = self.comparison.back
        for entity in (e for e in ENTITIES if e in REIDENTIFIED and e in self.tables):
            self.copies.add_back(entity, self.copies.found(entity, self.source.count(entity)), back)

    def _versions(self) -> set[str]:
        """Versions that both sides have under one name and number, and that differ."""
        keys = self._mapped_keys("model_versions", set(self._units_of("model_versions")))
        there = self._there("model_versions", keys).units
        both = {old: new for old, new in keys.items() if new in there}
        unequal = self.comparison.unequal("model_versions", both, self.merge.ids)
        return set(unequal.why) - self.deletions.dead_alike(keys)

    def _units(self, entity: str) -> None:
        self.on_progress(f"comparing {entity}", 0, None)
        self._move_children(entity)
        self._leave_same(entity)
        mine = self._units_of(entity)
        if not mine and not self._same[entity]:
            return
        keys = self._mapped_keys(entity, set(mine))
        ids = self._ids_for(entity)
        candidates = Candidates(
            entity=entity,
            keys=keys,
            source=Side(mine, {}),
            target=self._there(entity, keys),
            experiments=ids.experiment,
            taken=self._twins(entity),
        )
        found = self.comparison.unequal(entity, candidates.to_compare(), ids)
        unequal = dict(found.why)
        unequal |= dict.fromkeys(self.comparison.unequal_twins(entity, candidates.twins(), ids), "")
        if entity == "model_versions":
            dead = self.deletions.dead_alike(keys)
            unequal = {key: why for key, why in unequal.items() if key not in dead}
        deleted = found.deleted
        if self.policy.updates:
            both = candidates.to_compare()
            changed = {k: both[k] for k in both if k in unequal}
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

    def _removed(self, entity: str, candidates: Candidates, decision: Decision) -> None:
        """What was sent once, and the target has no more: `sync` leaves it so, and tells."""
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
            why = f"somebody removed {what} at the target"
            name = candidates.keys[key].replace("\x1f", "/")
            self.memory.book.add(Action(ActionKind.KEEP, entity, name, why=why))
        decision.purged = set(purged)

    @staticmethod
    def _model_of(version: str) -> tuple[str, str]:
        workspace, name, _ = version.split("\x1f")
        return workspace, name

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

    def _leave_removed(self) -> None:
        """Leave out what the target removed, and what is below it."""
        matching, skipped = self.matching, self.merge.skipped
        if matching.removed_experiments:
            skipped["experiments"] = Chosen(matching.removed_experiments)
        if matching.removed_models:
            keys = frozenset(map(key_text, matching.removed_models))
            skipped["registered_models"] = Chosen(keys)
        for table in ("datasets", *_BELOW):
            if table in self.tables and (rows := self._rows_below_removed(table)):
                self.rows[table] = self.rows.get(table, frozenset()) | rows
                self.merge.skipped_rows[table] = len(rows)

    # --- What a row refers to -----------------------------------------------------------------

    def _refuses(self, table: str, row: Mapping[str, Any]) -> str:
        """Why the target cannot take a row: an alias of a version that it does not have."""
        if table != "registered_model_aliases":
            return ""
        key = key_text((row["workspace"], row["name"], row["version"]))
        if ("model_versions", key) in self.changes.planner.refused:
            return f"version {row['version']} is another one there"
        is_there = key in self._versions_there or key in self.merge.new.get("model_versions", ())
        return "" if is_there else f"the target does not have version {row['version']}"

    @cached_property
    def _versions_there(self) -> set[str]:
        return unit_keys(self.target, "model_versions").keys() - tombstones(self.target)

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

    def _mapped_keys(self, entity: str, keys: set[str]) -> dict[str, str]:
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

    def _lacking(self, entity: str) -> frozenset[str]:
        """What the source has of a kind, and the target has not or has marked as deleted."""
        if entity == "experiments":
            return self.matching.new_experiments
        if entity not in self._lacking_of:
            mine = set(self._units_of(entity)) if entity in KEY_OF else set()
            there = unit_keys(self.target, entity, mine).keys() - marked(self.target, entity, mine)
            self._lacking_of[entity] = frozenset(mine - there)
        return self._lacking_of[entity]

    def _is_there(self, entity: str, key: str) -> bool:
        """Whether the target has a unit, and it is the same."""
        candidates, decision = self._decided.get(entity, (None, None))
        back = {new: old for old, new in candidates.keys.items()} if candidates is not None else {}
        return decision is not None and back.get(key) in decision.there

    def _comes(self, entity: str, key: str) -> bool:
        """Whether a unit is carried, or restored."""
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

    def _settle_all(self) -> None:
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
            why = f"the copy that an earlier import made of it, {new[conflict.id]}, differs"
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
        self.units[entity] = Chosen(new) if few else Chosen(out, without=True)
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
            what = f"{why}; the target keeps its own (--on-conflict skip)"
            merge.left_out.append(LeftOut(entity, key.replace("\x1f", "/"), "", "conflict", what))

    # --- What changes of what is there --------------------------------------------------------

    def _matched(self) -> None:
        """Plan what becomes of experiments and models that both sides have, and rows below them."""
        ids, both = self.merge.ids, self._is_matched
        self.changes.of_matched("experiments", ids, both("experiments"))
        self.changes.of_matched("registered_models", ids, both("registered_models"))
        for table, kind in _BELOW.items():
            if self.comparison.is_on_both(table):
                self.changes.of_rows(table, ids, both(kind))

    def _is_matched(self, kind: str) -> Callable[[str], bool]:
        """Whether both sides have one of a kind, by the target's key."""
        if kind == "experiments":
            new, gone = self.matching.new_experiments, self.matching.removed_experiments
            numbers = {e.number for e in experiments_of(self.source)} - gone
            mine = {str(self.merge.ids.experiment(number)) for number in numbers}
        else:
            new = self.matching.new_models
            ids = self.merge.ids
            pairs = models_of(self.source).keys() - self.matching.removed_models
            mine = {key_text((ids.workspace(w), ids.model(w, name))) for w, name in pairs}
        return lambda key: key in mine and key not in new

    def _take_changes(self) -> None:
        """Let the merge do what was planned row by row."""
        merge, plan = self.merge, self.changes.planner.plan
        vanished = self._vanished()
        renamed = self.matching.names(self.policy.wish)
        merge.updates += renamed + self.changes.updates(merge.ids) + vanished.updates
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
        return {renamed.get(old, new) for old, new in self._mapped_keys(kind, keys).items()}

    # --- Rows below them ----------------------------------------------------------------------

    def _note_children(self) -> None:
        """Say how many rows of new units get other ids."""
        for table, taken in self._taken.items():
            new = self.merge.new.get(CHILD_IDS[table], frozenset())
            count = sum(parent in new for parent in taken.values())
            if count:
                self.merge.notes.append(
                    f"New ids for {plural(count, 'row')} of {table}, whose own are taken there."
                )

    def _single_rows(self, table: str) -> None:
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
        if self.policy.updates and table in _BELOW:
            # What somebody took away at the target stays away.
            kept = self.changes.planner.plan.kept[table]
            self.rows[table] |= {key_text(key) for key, row in kept.items() if row is None}
            return
        if not states.differ:
            return
        if self.policy.on_conflict == "skip":
            self.merge.skipped_rows[table] = len(states.differ)
        for key, what in sorted(states.differ.items()):
            name = key.replace("\x1f", "/")
            if self.policy.on_conflict == "skip":
                why = f"{what}; the target keeps its own (--on-conflict skip)"
                self.merge.left_out.append(LeftOut(table, name, "", "conflict", why))
            else:
                self.merge.conflicts.append(Conflict(table, name, what))


_BELOW = {
    "experiment_tags": "experiments",
    "registered_model_tags": "registered_models",
    "registered_model_aliases": "registered_models",
}
"""Rows below what is matched by name."""
