"""Decide what a merge will do: match by name, then by id, compare what both sides have.

The decisions are pure functions (`names`, `decide`); this asks both sides what they need to know.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.errors import LeftOut
from mlporter.transfer.merge.columns import ID_COLUMNS
from mlporter.transfer.merge.decide import Fate, Given, Side, decide_units
from mlporter.transfer.merge.equality import Comparison
from mlporter.transfer.merge.idmap import fresh_id, keeps_order
from mlporter.transfer.merge.inventory import (
    Nothing,
    datasets_of,
    read_units,
    unique_keys,
    unit_keys,
)
from mlporter.transfer.merge.mapped import Choice, Chosen, MappedSource
from mlporter.transfer.merge.matching import Matching
from mlporter.transfer.merge.policy import Conflict, Merge, Policy, Renamed, UnitCount
from mlporter.transfer.merge.units import (
    ENTITIES,
    OWNED,
    REIDENTIFIED,
    ROWWISE,
    key_array,
    key_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source
    from mlporter.transfer.merge.idmap import IdMap
    from mlporter.transfer.merge.inventory import Reader

__all__ = ["resolve", "resolve_fresh"]

_CHILD_IDS = {
    "assessments": "trace_info",
    "evaluation_dataset_records": "evaluation_datasets",
    "online_scoring_configs": "scorers",
}
"""Rows below a unit that have an id of their own, which nothing else in the target may have."""


def resolve(
    source: Source,
    target: Reader,
    tables: tuple[Table, ...],
    *,
    policy: Policy,
    largest_experiment: int,
    on_progress: OnProgress,
) -> Merge:
    """What carrying `tables` of `source` into `target` will do.

    Args:
        source: What is carried: a selection, or all.
        target: What is there, in one snapshot or transaction.
        tables: The tables that are carried, with the columns that are.
        policy: What to do about conflicts.
        largest_experiment: The largest experiment id that the target can hold.
        on_progress: Told what is being compared.
    """
    work = _Resolver(
        source,
        target,
        tables,
        policy=policy,
        largest=largest_experiment,
        on_progress=on_progress,
    )
    return work.run()


def resolve_fresh(source: Source, policy: Policy, largest_experiment: int) -> Merge:
    """The same where the target holds nothing: only names and too large ids change."""
    merge = Merge()
    nothing = Nothing(source.tables)
    comparison = Comparison(source, nothing, ())
    matching = Matching(
        source, nothing, comparison, merge, policy=policy, largest=largest_experiment
    )
    matching.experiments()
    matching.models(set)
    merge.renamed = matching.renamed()
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
        on_progress: OnProgress,
    ) -> None:
        self.source = source
        self.target = target
        self.tables = {table.name: table for table in tables}
        self.policy = policy
        self.on_progress = on_progress
        self.merge = Merge()
        self.comparison = Comparison(source, target, tables)
        self.matching = Matching(
            source, target, self.comparison, self.merge, policy=policy, largest=largest
        )
        self.units: dict[str, Chosen] = {}
        self.rows: dict[str, frozenset[str]] = {}
        self._decided: dict[str, tuple[Given, Fate]] = {}
        self._taken: dict[str, dict[str, str]] = {}

    def run(self) -> Merge:
        """Names first, then what belongs to an experiment, then models, then single rows."""
        merge = self.merge
        self.matching.experiments()
        self.units["workspaces"] = self.matching.workspaces()
        self.units["experiments"] = Chosen(self.matching.old_experiments, without=True)
        self._datasets()
        for entity in ENTITIES:
            if entity == "model_versions":
                self.units["registered_models"] = self.matching.models(self._versions)
            if entity in self.tables:
                self._units(entity)
        self._settle_all()
        self._note_children()
        for table in (*ROWWISE, *self._unknown()):
            if table in self.tables:
                self._single_rows(table)
        merge.choice = Choice({k: v for k, v in self.units.items() if v.keys or not v.without},
                              {k: v for k, v in self.rows.items() if v})  # fmt: skip
        merge.renamed = self.matching.renamed() + merge.renamed
        return merge

    def _unknown(self) -> list[str]:
        return [name for name in self.tables if name not in BY_NAME]

    # --- Datasets -----------------------------------------------------------------------------

    def _datasets(self) -> None:
        """Matched by experiment, name and digest; the ids of those that are there are used."""
        if "datasets" not in self.tables:
            return
        ids = self.merge.ids
        there = {(d.experiment, d.name, d.digest): d.uuid for d in datasets_of(self.target)}
        taken = set(there.values())
        dropped, changed, same = [], {}, 0
        for one in datasets_of(self.source):
            key = (ids.experiment(one.experiment), one.name, one.digest)
            if key in there:
                dropped.append(key_text(key))
                same += 1
                if there[key] != one.uuid:
                    changed[one.uuid] = there[key]
            elif one.uuid in taken:
                changed[one.uuid] = fresh_id(one.uuid, self.matching.salt(one.experiment), 36)
        self.rows["datasets"] = frozenset(dropped)
        if changed:
            ids.ids["datasets"] = changed

    # --- Units --------------------------------------------------------------------------------

    def _versions(self) -> set[str]:
        """Versions that both sides have under one name and number, and that differ."""
        keys = self._mapped_keys("model_versions", set(unit_keys(self.source, "model_versions")))
        there = unit_keys(self.target, "model_versions", set(keys.values()))
        both = {old: new for old, new in keys.items() if new in there}
        return self.comparison.unequal("model_versions", both, self.merge.ids)

    def _units(self, entity: str) -> None:
        self.on_progress(f"comparing {entity}", 0, None)
        mine = unit_keys(self.source, entity)
        if not mine:
            return
        keys = self._mapped_keys(entity, set(mine))
        ids = self._ids_for(entity)
        given = Given(
            entity=entity,
            keys=keys,
            source=Side(mine, {}),
            target=self._there(entity, set(keys.values())),
            experiments=ids.experiment,
            taken=self._twins(entity),
        )
        self._child_ids(entity)
        unequal = self.comparison.unequal(entity, given.to_compare(), ids)
        unequal |= self.comparison.unequal_twins(entity, given.twins(), ids)
        fates = decide_units(given, unequal, self.policy)
        if fates.copied:
            self._rename(entity, given, fates)
        self._decided[entity] = (given, fates)

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
        if entity not in {"model_versions", "mcp_servers"} or self.merge.ids.is_identity:
            return {key: key for key in keys}
        mapped = {}
        ids = self.merge.ids
        for key in keys:
            workspace, name, *rest = key.split("\x1f")
            new = ids.model(workspace, name) if entity == "model_versions" else name
            mapped[key] = key_text((ids.workspace(workspace), new, *rest))
        return mapped

    def _there(self, entity: str, keys: set[str]) -> Side:
        return Side(unit_keys(self.target, entity, keys), self._unique(entity, self.target))

    def _unique(self, entity: str, reader: Reader) -> dict[str, str]:
        found: dict[str, str] = {}
        for columns in BY_NAME[entity].unique:
            found |= unique_keys(reader, entity, columns)
        return found

    def _twins(self, entity: str) -> dict[str, str]:
        """What each unit of the source would be called that must be unique in the target."""
        if not BY_NAME[entity].unique:
            return {}
        mapped = MappedSource(self.source, self.merge.ids)
        return {key: name for name, key in self._unique(entity, mapped).items()}

    def _rename(self, entity: str, given: Given, fates: Fate) -> None:
        """New ids for what is carried beside the target's."""
        salts = self.matching.salts(entity, given)
        new = {key: fresh_id(key, salts[key], _cap(entity)) for key in fates.copied}
        self.merge.ids.ids[entity] = new
        if keeps_order(new, set(given.keys)):
            self.merge.ids.ordered.add(entity)

    def _settle_all(self) -> None:
        """Look for copies that an earlier import made, once all that they refer to is known."""
        for entity, (_, fates) in self._decided.items():
            if fates.copied:
                self._copy_children(entity, dict(self.merge.ids.of(entity)))
        for entity, (given, fates) in self._decided.items():
            if fates.copied:
                self._find_copies(entity, given, fates)
            self._settle(entity, fates, dict(given.keys))

    def _find_copies(self, entity: str, given: Given, fates: Fate) -> None:
        ids = self.merge.ids.of(entity)
        new = {key: ids[key] for key in fates.copied}
        again = Given(
            entity=entity,
            keys=new,
            source=Side({key: given.source.units[key] for key in new}, {}),
            target=self._there(entity, set(new.values())),
            experiments=given.experiments,
            taken={},
        )
        unequal = self.comparison.unequal(entity, again.to_compare(), self.merge.ids)
        second = decide_units(again, unequal, Policy())
        for conflict in second.conflicts:
            why = f"the copy that an earlier import made of it, {new[conflict.id]}, differs"
            fates.conflicts.append(Conflict(conflict.kind, conflict.id, why))
        fates.there |= second.there
        found = sorted(set(new) - second.there)
        self.merge.renamed += [Renamed(entity, key, new[key]) for key in found]

    def _settle(self, entity: str, fates: Fate, keys: dict[str, str]) -> None:
        merge = self.merge
        merge.conflicts += fates.conflicts
        if fates.twins:
            merge.ids.ids.setdefault(entity, {}).update(fates.twins)
        out = frozenset(fates.there | fates.skipped)
        new = frozenset(set(keys) - out)
        few = len(new) < len(out)
        self.units[entity] = Chosen(new) if few else Chosen(out, without=True)
        if fates.skipped:
            merge.skipped[entity] = Chosen(frozenset(fates.skipped))
        renamed = merge.ids.of(entity)
        merge.new[entity] = frozenset(renamed.get(key, keys[key]) for key in new)
        count = UnitCount(entity, len(new), len(fates.there), len(fates.skipped))
        merge.units.append(count)
        for key in sorted(fates.skipped):
            why = "the target has another one under this id, and keeps it (--on-conflict skip)"
            merge.left_out.append(LeftOut(entity, key.replace("\x1f", "/"), "", "conflict", why))

    # --- Rows below them ----------------------------------------------------------------------

    def _copy_children(self, entity: str, new: dict[str, str]) -> None:
        """New ids for the rows of copies that have ids of their own."""
        ids = self.merge.ids
        chosen = Choice({entity: Chosen(frozenset(new))})
        for table in (t for t, e in _CHILD_IDS.items() if e == entity and t in self.tables):
            for child, parent in self._child_rows(table, MappedSource(self.source, ids, chosen)):
                ids.ids.setdefault(table, {})[child] = fresh_id(child, parent, _cap(table))
        if entity == "runs" and "inputs" in self.tables:
            column = ID_COLUMNS["inputs"]
            edges: dict[str, str] = {}
            copies = MappedSource(self.source, ids, chosen)
            for batch in copies.read("inputs", (*BY_NAME["inputs"].key, column)):
                for row in batch.to_pylist():
                    salt = f"{row['destination_id']}/{row['source_id']}"
                    edges[row[column]] = fresh_id(row[column], salt, 36)
            ids.ids["inputs"] = edges

    def _child_rows(self, table: str, source: MappedSource) -> Iterator[tuple[str, str]]:
        """The id of each row of a table, and the key of the unit that it belongs to."""
        (key,), owner = BY_NAME[table].key, OWNED[table].columns
        for batch in source.read(table, (key, *owner)):
            parents = key_array(batch, owner).to_pylist()
            yield from zip(batch.column(key).to_pylist(), parents, strict=True)

    def _child_ids(self, entity: str) -> None:
        """New ids for rows below units whose id the target has below another unit."""
        ids = self.merge.ids
        for table in (t for t, e in _CHILD_IDS.items() if e == entity and t in self.tables):
            (key,), owner = BY_NAME[table].key, OWNED[table].columns
            mine = dict(self._child_rows(table, MappedSource(self.source, ids)))
            there: dict[str, str] = {}
            for batch in read_units(self.target, table, (key, *owner), (key,), set(mine)):
                parents = key_array(batch, owner).to_pylist()
                there.update(zip(batch.column(key).to_pylist(), parents, strict=True))
            taken = {child: mine[child] for child, parent in there.items() if parent != mine[child]}
            new = {child: fresh_id(child, parent, _cap(table)) for child, parent in taken.items()}
            if new:
                ids.ids.setdefault(table, {}).update(new)
                self._taken[table] = taken

    def _note_children(self) -> None:
        """Say how many rows of new units get other ids."""
        for table, taken in self._taken.items():
            new = self.merge.new.get(_CHILD_IDS[table], frozenset())
            count = sum(parent in new for parent in taken.values())
            if count:
                self.merge.notes.append(
                    f"{count} rows of {table} get new ids: the target has theirs for another."
                )

    def _single_rows(self, table: str) -> None:
        """Rows that stand alone: new, there, or another one under the same key."""
        if not self.comparison.is_carried(table):
            return
        self.on_progress(f"comparing {table}", 0, None)
        states = self.comparison.rows(table, self.merge.ids)
        self.rows[table] = states.there | states.differ
        if not states.differ:
            return
        if self.policy.on_conflict == "skip":
            self.merge.skipped_rows[table] = len(states.differ)
        for key in sorted(states.differ):
            name = key.replace("\x1f", "/")
            if self.policy.on_conflict == "skip":
                why = "the target has another value, and keeps it (--on-conflict skip)"
                self.merge.left_out.append(LeftOut(table, name, "", "conflict", why))
            else:
                self.merge.conflicts.append(Conflict(table, name, "the target has another value"))


def _cap(table: str) -> int:
    """The longest id that a table's rows may have, in characters."""
    column = BY_NAME[table].by_name[BY_NAME[table].key[0]]
    return column.cap or 36
