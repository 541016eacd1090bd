"""Decide what a merge will do: match by name, then by id, compare what both sides have.

The decisions are pure functions (`matching.names`, `decisions`); this asks both sides what they
need to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.plan.capabilities import DATABASE
from mlporter.plan.deleted_rows import Lost
from mlporter.plan.matching.by_name import Matching
from mlporter.plan.matching.datasets import match_datasets, match_edges
from mlporter.plan.merge.changes import Changes
from mlporter.plan.merge.deletions import Deletions, notes_on_deleted
from mlporter.plan.merge.equality import Comparison
from mlporter.plan.merge.following import Following
from mlporter.plan.merge.single_rows import SingleRows
from mlporter.plan.merge.step import DatabaseFacts, Step
from mlporter.plan.merge.units import Units
from mlporter.plan.policy import Merge, Policy
from mlporter.plan.side_reader import (
    Nothing,
    unit_keys,
)
from mlporter.plan.three_sides.rows import RowPlanner
from mlporter.plan.three_sides.sent.memory import Memory
from mlporter.plan.units import ENTITIES, ROWWISE, Choice, Chosen

if TYPE_CHECKING:
    from mlporter.catalogue.types import Table
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
    anchors: Reader | None = None,
) -> Merge:
    """What copying `tables` of `source` into `target` will do.

    Args:
        source: What is copied: a selection, or all.
        target: What is there, in one snapshot or transaction.
        tables: The tables that are copied, with the columns that are.
        policy: What to do about conflicts.
        largest_experiment: The largest experiment id that the target can hold.
        holds_references: Whether the target never had a row that refers to nothing.
        on_progress: Called with what is being compared.
        memory: What was last sent, and where actions go.
        anchors: The source with all runs and models that files may lie with, where it is a part.
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
    work.step.comparison.anchors = anchors or source
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
        merge = Merge()
        comparison = Comparison(source, target, tables, Lost(self._lacking))
        comparison.quick = policy.is_quick
        facts = DatabaseFacts(source, target, merge)
        planner = RowPlanner(memory.base, policy.wish, memory.book, can=DATABASE, facts=facts)
        matching = Matching(
            source, target, comparison, merge, policy=policy, largest=largest, memory=memory
        )
        self.step = Step(
            source=source,
            target=target,
            tables={table.name: table for table in tables},
            policy=policy,
            memory=memory,
            on_progress=on_progress,
            merge=merge,
            deletions=Deletions(source, target, holds_references=holds_references),
            comparison=comparison,
            matching=matching,
            changes=Changes(comparison, source, target, planner),
        )
        self.units = Units.of(self.step)
        self.single = SingleRows.of(self.step)
        self.following = Following.of(self.step, units=self.units)

    def _lacking(self, kind: str) -> frozenset[str]:
        return self.units.lacking(kind)

    def run(self) -> Merge:
        """Names first, then what belongs to an experiment, then models, then single rows."""
        step, units = self.step, self.units
        merge, matching = step.merge, step.matching
        matching.experiments()
        units.chosen["workspaces"] = matching.workspaces()
        units.chosen["experiments"] = Chosen(matching.old_experiments, without=True)
        if "datasets" in step.tables:
            dropped = match_datasets(step.source, step.target, merge.ids, matching.salt)
            self.single.rows["datasets"] = dropped
        if "inputs" in step.tables and step.source.description.over_rest:
            match_edges(step.source, step.target, merge.ids)
        units.look_for_copies()
        for entity in ENTITIES:
            if entity == "model_versions":
                units.chosen["registered_models"] = matching.models(units.differing_versions)
            if entity in step.tables:
                units.choose(entity)
        units.settle()
        matching.note_new()
        units.note_children()
        if step.policy.updates:
            self.following.match()
        merge.leftovers = step.deletions.leftovers(merge.new, matching)
        for table in (*ROWWISE, *self._unknown()):
            if table in step.tables:
                self.single.compare(table)
        self.single.leave_removed()
        besides, links = step.comparison.lost.mendable(units.is_there, units.comes)
        inserted, below = step.changes.inserted(merge.ids)
        merge.choice = Choice(
            {k: v for k, v in units.chosen.items() if v.keys or not v.without},
            {k: v for k, v in self.single.rows.items() if v},
            {t: besides.get(t, frozenset()) | inserted.get(t, frozenset())
             for t in {*besides, *inserted}},
            {table: keys for table, keys in below.items() if table not in besides},
        )  # fmt: skip
        merge.updates += matching.restorations() + matching.names()
        if step.policy.updates:
            self.following.take()
        merge.links = links
        merge.noted = matching.noted(merge.updates)
        merge.notes += notes_on_deleted(merge, len(matching.restored))
        merge.renamed = matching.renamed() + merge.renamed
        return merge

    def _unknown(self) -> list[str]:
        others = (table for table in self.step.tables.values() if table.kind is not Kind.USERS)
        return [table.name for table in others if table.name not in BY_NAME]
