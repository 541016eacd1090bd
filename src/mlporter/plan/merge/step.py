"""What all steps of a merge share: both sides, what was asked for, and what was decided so far."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlporter.plan.deleted_rows import tombstones
from mlporter.plan.merge.changes import changed_later
from mlporter.plan.side_reader import experiments_of, models_of, unit_keys
from mlporter.plan.units import key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from mlporter.catalogue.types import Table
    from mlporter.plan.matching.by_name import Matching
    from mlporter.plan.merge.changes import Changes
    from mlporter.plan.merge.deletions import Deletions
    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["DatabaseFacts", "Step"]


@dataclass
class Step:
    """A step of a merge.

    Attributes:
        source: What is copied: a selection, or all.
        target: What is there, in one snapshot or transaction.
        tables: The tables that are copied, with the columns that are.
        policy: What to do about conflicts.
        memory: What was last sent, and where actions go.
        on_progress: Called with what is being compared.
        merge: What was decided so far.
        deletions: What either side has deleted.
        comparison: Holds the sides against each other.
        matching: What is matched by name.
        changes: What becomes of what both sides have.
    """

    source: Source
    target: Reader
    tables: Mapping[str, Table]
    policy: Policy
    memory: Memory
    on_progress: OnProgress
    merge: Merge
    deletions: Deletions
    comparison: Comparison
    matching: Matching
    changes: Changes

    @classmethod
    def of(cls, other: Step, **more: Any) -> Self:  # noqa: ANN401 -- fields of the step
        """A step of the same merge."""
        return cls(**{one.name: getattr(other, one.name) for one in fields(Step)}, **more)

    def is_matched(self, kind: str) -> Callable[[str], bool]:
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


class DatabaseFacts:
    """What the planner must know of a database besides its rows (`Facts`)."""

    def __init__(self, source: Source, target: Reader, merge: Merge) -> None:
        self._target = target
        self._merge = merge
        self._later = changed_later(source, target, merge.ids)

    def has(self, kind: str, key: str) -> bool:
        """Whether the target has a unit, or gets it; of versions, those that are not deleted."""
        if kind != "model_versions":
            return True
        return key in self._versions_there or key in self._merge.new.get(kind, ())

    @cached_property
    def _versions_there(self) -> set[str]:
        return unit_keys(self._target, "model_versions").keys() - tombstones(self._target)

    def holds_own(self, kind: str, key: str) -> bool:  # noqa: ARG002
        """Nothing goes into the trash with what it is in: rows are marked one by one."""
        return False

    def is_newer(self, kind: str, key: str) -> bool:
        """Whether the target's unit was changed later than the source's."""
        return self._later(kind, key)
