"""What becomes of what both sides have, and that is not the same: for a database as the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.compare.report import DIFFER, ONLY_LEFT, ONLY_RIGHT
from mlporter.compare.rows.shape import pair_up
from mlporter.compare.rows.streams import compare_streams
from mlporter.plan.deleted_rows import DELETED_TIME, Update
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.side_reader import Nothing
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
from mlporter.plan.three_sides.keys import key_array, key_text, owner_of
from mlporter.plan.three_sides.row import Sides, is_of_a_registry
from mlporter.plan.three_sides.sides import Outcome, State, decide
from mlporter.plan.units import ENTITIES, OF_WORKSPACES, OWNED, Choice, Chosen, tables_of
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.compare.rows.shape import Pair
    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.row import Key
    from mlporter.plan.three_sides.rows import Found, RowPlanner
    from mlporter.stores.protocols import Source

__all__ = ["UPDATE_TIMES", "Back", "Changes", "changed_later"]

UPDATE_TIMES: Mapping[str, str] = {
    "experiments": "last_update_time",
    "runs": "end_time",
    "logged_models": "last_updated_timestamp_ms",
    "registered_models": "last_updated_time",
    "model_versions": "last_updated_time",
    "evaluation_datasets": "last_update_time",
    "issues": "last_updated_timestamp",
    "webhooks": "last_updated_timestamp",
    "endpoints": "last_updated_at",
}
"""The column that says when a thing was changed last (ms since the epoch), where there is one."""

_COMPARED = {
    "experiments": frozenset({"lifecycle_stage", "name"}),
    "registered_models": frozenset({"description"}),
}
"""What is compared of things that are matched by name: who made them, and when, is each side's."""


@dataclass
class Changes:
    """Plans row by row what the target gets of things that it has.

    Attributes:
        comparison: Holds the two sides against each other.
        appended: Runs (the target's ids) that get metric points, and how many.
    """

    comparison: Comparison
    source: Source
    target: Reader
    planner: RowPlanner
    appended: dict[str, int] = field(default_factory=dict)

    # --- Units ------------------------------------------------------------------------------------

    def of_units(self, entity: str, keys: dict[str, str], ids: IdMap) -> None:
        """Plan what becomes of units that both sides have: their keys here, and there."""
        if not keys:
            return
        mine, theirs = self.comparison.of_units(entity, keys, ids)
        for table in tables_of(entity):
            if not self.comparison.is_on_both(table):
                continue
            sides = self.comparison.sides(table, mine, theirs)
            if sides is None:
                continue
            if table == "metrics":
                self._points(sides)
                continue

            def sift(found: Found, table: str = table) -> Found:
                return self.comparison.sift(mine, table, list(filter(is_of_a_registry, found)))

            self.planner.take(sides, sift)

    # --- Metric points ----------------------------------------------------------------------------

    def _points(self, sides: Sides) -> None:
        """Points that the target's runs lack; those that only they have are somebody's there."""
        here, there = Counter[str](), Counter[str]()
        keys: dict[str, list[Key]] = {}
        order = sides.pair.table.key
        found: Found = []
        compare_streams(sides.pair.table, sides.of_source(), sides.of_target(), found.append)
        for one in found:
            run = str(one.key["run_uuid"])
            if one.sigil == ONLY_LEFT:
                here[run] += 1
                keys.setdefault(run, []).append(tuple(one.key[name] for name in order))
            else:
                there[run] += 1
        last = self.planner.base.groups("runs", {*here, *there})
        for run in sorted({*here, *there}):
            state = _state_of_points(here[run], there[run], is_known=run in last)
            self._decide_points(run, state, here[run], there[run], keys.get(run, []))

    def _decide_points(
        self, run: str, state: State, here: int, there: int, keys: list[Key]
    ) -> None:
        planner = self.planner
        if not here:
            change = (Change("metrics", there, None),)
            why = "it is only in the target"
            planner.book.add(Action(ActionKind.KEEP, "runs", run, change, why))
            return
        outcome = decide(state, planner.wish, is_newer=planner.facts.is_newer("runs", run))
        if outcome is Outcome.SEND:
            change = (Change("metrics", None, f"+{plural(here, 'point')}"),)
            planner.book.add(Action(ActionKind.UPDATE, "runs", run, change))
            planner.plan.inserts["metrics"] |= dict.fromkeys(keys, ("runs", run))
            planner.plan.touched.add(("runs", run))
            self.appended[run] = here
            return
        kind = ActionKind.CONFLICT if outcome is Outcome.CONFLICT else ActionKind.KEEP
        why = f"{plural(here, 'point')} only at the source, {there} only at the target"
        planner.book.add(Action(kind, "runs", run, (Change("metrics", there, here),), why))
        if outcome is Outcome.CONFLICT:
            planner.plan.conflicts.append(("runs", run, f"metrics: {why}"))

    # --- What is matched by name ------------------------------------------------------------------

    def of_matched(self, table: str, ids: IdMap, is_matched: Callable[[str], bool]) -> None:
        """Plan what becomes of experiments or registered models that both sides have.

        Args:
            table: Which.
            ids: What is called otherwise in the target.
            is_matched: Whether both sides have one, by the target's key.
        """
        pair = self._matched_pair(table)
        if pair is None:
            return
        reader = MappedReader(self.source, ids)
        self.planner.take(
            Sides(pair, reader, self.target),
            lambda found: [one for one in found if is_matched(_name(pair.table, one.key))],
        )

    def _matched_pair(self, table: str) -> Pair | None:
        return matched_pair(table, *self.comparison.entries(table))

    def of_rows(
        self,
        table: str,
        ids: IdMap,
        is_matched: Callable[[str], bool],
        sigils: Collection[str] = (ONLY_LEFT, ONLY_RIGHT, DIFFER),
    ) -> None:
        """Plan what becomes of rows below what is matched by name: tags, aliases.

        Args:
            table: Which.
            ids: What is called otherwise in the target.
            is_matched: Whether both sides have what such a row belongs to, by the target's key.
            sigils: Which differences are looked at.
        """
        readers = MappedReader(self.source, ids), MappedReader(self.target, IdMap())
        sides = self.comparison.sides(table, *readers)
        if sides is None or not sides.pair.table.key:
            return

        def sift(found: Found) -> Found:
            some = (one for one in found if one.sigil in sigils)
            owned = [one for one in some if is_matched(owner_of(sides.pair.table, one.key)[1])]
            return [one for one in owned if is_of_a_registry(one)]

        self.planner.take(sides, sift)

    def gone_sides(self, kind: str, table: str, keys: set[str]) -> Sides | None:
        """A table of both sides, of some units that only the target has."""
        if not self.comparison.is_on_both(table):
            return None
        chosen = Choice({kind: Chosen.of(kind, keys)})
        theirs = MappedReader(self.target, IdMap(), chosen)
        nothing = MappedReader(Nothing(self.source.tables), IdMap())
        if table in _COMPARED:
            pair = self._matched_pair(table)
            return None if pair is None else Sides(pair, nothing, theirs)
        return self.comparison.sides(table, nothing, theirs)

    # --- What comes of it -------------------------------------------------------------------------

    def inserted(self, ids: IdMap) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
        """Rows below units that are there, by the source's keys; and the keys of these units."""
        rows: dict[str, frozenset[str]] = {}
        below: dict[str, frozenset[str]] = {}
        back = Back(ids)
        for table, found in self.planner.plan.inserts.items():
            if table not in OWNED or not found:
                continue  # what is matched by name is not left out for its owner's sake
            key = self._pair_key(table)
            named = (dict(zip(key, values, strict=True)) for values in found)
            rows[table] = self._key_texts(table, [back.row(table, row) for row in named])
            below[table] = frozenset(back.owner(*owner) for owner in found.values())
        return rows, below

    def updates(self, ids: IdMap) -> list[Update]:
        """New values of rows of the target, with the time of the change where there is one."""
        found = []
        for table, rows in self.planner.plan.updates.items():
            if not rows:
                continue
            entry = next(one for one in self.target.tables if one.name == table)
            pair_key = self._pair_key(table)
            order = [pair_key.index(name) for name in entry.key]
            changed = {tuple(key[at] for at in order): values for key, values in rows.items()}
            times = self._times(table, ids, set(changed))
            for key, values in changed.items():
                if key in times:
                    values[UPDATE_TIMES[table]] = times[key]
                found.append(Update(table, key, tuple(values.items())))
        changed_keys = {(one.table, one.key) for one in found}
        return found + self._followed(ids, changed_keys) + self._deletion_times(ids, changed_keys)

    def _deletion_times(self, ids: IdMap, changed: set[tuple[str, Key]]) -> list[Update]:
        """When the source deleted runs that both sides have deleted."""
        entries, columns = self.comparison.entries("runs"), ("run_uuid", DELETED_TIME)
        if any(one is None or DELETED_TIME not in one.by_name for one in entries):
            return []
        deleted = Among("lifecycle_stage", ("deleted",))
        mine, theirs = (
            {
                run: time
                for batch in reader.read("runs", columns, deleted)
                for run, time in zip(*batch.to_pydict().values(), strict=True)
            }
            for reader in (MappedReader(self.source, ids), self.target)
        )
        return [
            Update("runs", (run,), ((DELETED_TIME, mine[run]),))
            for run, time in sorted(theirs.items())
            if mine.get(run) not in {None, time} and ("runs", (run,)) not in changed
        ]

    def _followed(self, ids: IdMap, changed: set[tuple[str, Key]]) -> list[Update]:
        """Later times of change at the source, of what both have and nobody edited there."""
        plan, found = self.planner.plan, []
        for table in ("experiments", "registered_models", "model_versions"):
            entry = next((one for one in self.target.tables if one.name == table), None)
            column = UPDATE_TIMES[table]
            if entry is None or column not in entry.by_name:
                continue
            mine = self._times(table, ids, None)
            if not mine:
                continue
            stays = set(plan.kept[table])
            for row in rows_of(self.target, table, (*entry.key, column)):
                key, later = row[:-1], mine.get(row[:-1])
                if later is None or key in stays or (table, key) in changed:
                    continue
                if row[-1] is None or later > row[-1]:
                    found.append(Update(table, key, ((column, later),)))
        return found

    def _key_texts(self, table: str, rows: list[dict[str, object]]) -> frozenset[str]:
        """Keys of rows of the source as one text each, as they are looked for."""
        entry, _ = self.comparison.entries(table)
        if entry is None:
            return frozenset()
        schema = pa.schema([entry.schema.field(name) for name in entry.key])
        keys = key_array(pa.RecordBatch.from_pylist(rows, schema=schema), entry.key)
        return frozenset(keys.to_pylist())

    def _pair_key(self, table: str) -> tuple[str, ...]:
        mine, theirs = self.comparison.entries(table)
        pair = pair_up(mine, theirs, frozenset())
        return () if pair is None else pair.table.key

    def _times(self, table: str, ids: IdMap, keys: set[Key] | None) -> dict[Key, int]:
        """When the source's rows were changed last, by the target's keys; all, or some."""
        column = UPDATE_TIMES.get(table, "end_time")
        mine, theirs = self.comparison.entries(table)
        if mine is None or theirs is None or column == "end_time":
            return {}
        if not {column, *theirs.key} <= mine.by_name.keys() or column not in theirs.by_name:
            return {}
        return {
            row[:-1]: row[-1]
            for row in rows_of(MappedReader(self.source, ids), table, (*theirs.key, column))
            if row[-1] is not None and (keys is None or row[:-1] in keys)
        }


def matched_pair(table: str, mine: Table | None, theirs: Table | None) -> Pair | None:
    """What is compared of experiments or registered models that both sides have."""
    if mine is None or theirs is None:
        return None
    names = frozenset(mine.schema.names) | frozenset(theirs.schema.names)
    pair = pair_up(mine, theirs, names - _COMPARED[table])
    return pair if pair is not None and pair.table.key else None


class Back:
    """From the target's keys to the source's."""

    def __init__(self, ids: IdMap) -> None:
        self._workspaces = {new: old for old, new in ids.workspaces.items()}
        self._models = {
            (ids.workspace(workspace), new): name for (workspace, name), new in ids.models.items()
        }
        self._same = ids.is_identity
        self._units = {kind: {new: old for old, new in ids.of(kind).items()} for kind in ENTITIES}

    def row(self, table: str, row: dict[str, object]) -> dict[str, object]:
        """The key columns of a row, and their values in the source."""
        if self._same:
            return row
        kind, owner = owner_of(BY_NAME[table], row)
        parts = self.owner(kind, owner).split("\x1f")
        columns = OWNED[table].columns
        if len(parts) != len(columns) or not set(columns) <= row.keys():
            return row
        texts = {n: p for n, p in zip(columns, parts, strict=True) if isinstance(row[n], str)}
        return row | texts

    def owner(self, kind: str, key: str) -> str:
        """The key of a unit."""
        if self._same:
            return key
        if kind in OF_WORKSPACES:
            workspace, name, *rest = key.split("\x1f")
            if kind == "model_versions":
                name = self._models.get((workspace, name), name)
            return key_text((self._workspaces.get(workspace, workspace), name, *rest))
        return self._units.get(kind, {}).get(key, key)


def _name(table: Table, key: Mapping[str, object]) -> str:
    return key_text(key[name] for name in table.key)


def _state_of_points(here: int, there: int, *, is_known: bool) -> State:
    """Points are only ever added: who has more has added some."""
    if not is_known:
        return State.UNKNOWN
    if here and there:
        return State.BOTH_CHANGED
    return State.SOURCE_CHANGED if here else State.TARGET_EDITED


def changed_later(source: Reader, target: Reader, ids: IdMap) -> Callable[[str, str], bool]:
    """Whether the target's unit (its table and its key) was changed later than the source's."""
    known: dict[str, tuple[dict[str, int], dict[str, int]]] = {}

    def is_later(table: str, key: str) -> bool:
        if table not in UPDATE_TIMES:
            return False
        if table not in known:
            known[table] = _times_of(MappedReader(source, ids), table), _times_of(target, table)
        mine, theirs = known[table]
        return theirs.get(key, 0) > mine.get(key, 0)

    return is_later


def _times_of(reader: Reader, table: str) -> dict[str, int]:
    entry = next((one for one in reader.tables if one.name == table), None)
    column = UPDATE_TIMES[table]
    if entry is None or entry.kind is not Kind.KEPT or column not in entry.by_name:
        return {}
    rows = rows_of(reader, table, (*entry.key, column))
    return {key_text(row[:-1]): row[-1] for row in rows if row[-1]}
