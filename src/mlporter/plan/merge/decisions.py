"""What becomes of each unit: a pure function of what both sides have, and of the policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.plan.deleted_rows import how_to_restore
from mlporter.plan.policy import Conflict
from mlporter.plan.units import REIDENTIFIED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mlporter.plan.policy import Policy

__all__ = ["Candidates", "Decision", "Side", "decide_units"]


@dataclass(frozen=True)
class Side:
    """Units of a kind: the experiment of each (or None), and keys by what must be unique."""

    units: Mapping[str, int | None]
    unique: Mapping[str, str]


@dataclass(frozen=True)
class Candidates:
    """What is known of the units of a kind.

    Attributes:
        entity: Their kind.
        keys: The target's key of each unit of the source.
        source: What the source has.
        target: What the target has, of those keys; its unique names are all there.
        experiments: The target's id of an experiment of the source.
        taken: What must be unique, as the target would have it, by the source's key.
        originals: Of copies that the target has from an earlier import, what they are copies of.
    """

    entity: str
    keys: Mapping[str, str]
    source: Side
    target: Side
    experiments: Callable[[int], int]
    taken: Mapping[str, str]
    originals: Mapping[str, str] = field(default_factory=dict)

    def moved(self, key: str) -> bool:
        """Whether the target has a unit in another experiment than it would go to."""
        mine, there = self.source.units[key], self.target.units[self.keys[key]]
        return mine is not None and there is not None and self.experiments(mine) != there

    def twin(self, key: str) -> str | None:
        """The unit of the target that has another id, and what must be unique in common."""
        name = self.taken.get(key)
        return self.target.unique.get(name) if name is not None else None

    def may_be_copied(self, key: str) -> bool:
        """Whether a unit whose id is taken can go beside it, under another id.

        Not where its name is taken as well, by anything but the copy that an earlier import made.
        """
        twin = self.twin(key)
        is_free = twin is None or self.originals.get(twin) == key
        return is_free and self.entity in REIDENTIFIED and self.keys[key] in self.target.units

    def to_compare(self) -> dict[str, str]:
        """Units that both sides have under one id, in the same experiment; and twins."""
        return {
            key: new
            for key, new in self.keys.items()
            if new in self.target.units and not self.moved(key)
        }

    def twins(self) -> dict[str, str]:
        """Units that the target has not, but others of the same name."""
        pairs = ((key, self.twin(key)) for key in self.keys)
        return {
            key: twin
            for key, twin in pairs
            if twin is not None
            and twin != self.keys[key]
            and (self.keys[key] not in self.target.units)
        }


@dataclass
class Decision:
    """What becomes of the units of a kind, by the source's keys; the rest is copied.

    ``twins`` are there as well, under the id that they are mapped to; ``copied`` get a new id.
    ``restored`` are there, and were marked as deleted. Of those ``skipped``, it is said why.
    What is ``purged`` was sent once, and somebody took it away at the target: it stays away; or
    it is ``put_back``.
    """

    there: set[str] = field(default_factory=set)
    restored: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)
    twins: dict[str, str] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    purged: set[str] = field(default_factory=set)
    put_back: set[str] = field(default_factory=set)


def decide_units(
    candidates: Candidates,
    unequal: Mapping[str, str],
    policy: Policy,
    deleted: Collection[str] = (),
) -> Decision:
    """Decide for every unit of a kind.

    Args:
        candidates: What both sides have.
        unequal: Which of `Candidates.to_compare` and `Candidates.twins` differ, and in what.
        policy: What to do about conflicts.
        deleted: Which are the same, but that the target has marked them as deleted.
    """
    decision = Decision()
    twins = candidates.twins()
    for key, new in sorted(candidates.keys.items()):
        twin = twins.get(key)
        if key in deleted and policy.undelete:
            decision.restored.add(key)
            why = None
        elif key in deleted:
            why = how_to_restore(candidates.entity, new)
        elif new in candidates.target.units:
            why = _why(candidates, key, unequal)
        elif twin is not None:
            why = f"the target has {twin!r} of the same name" if key in unequal else None
        else:
            continue
        if twin is not None and (why is None or policy.leaves_out):
            decision.twins[key] = twin
        if why is None:
            decision.there.add(key)
        elif policy.leaves_out:
            decision.skipped[key] = why
        elif policy.on_conflict == "rename" and candidates.may_be_copied(key):
            decision.copied.add(key)
        else:
            rest = _why_no_copy(candidates, key) if policy.on_conflict == "rename" else ""
            name = key.replace("\x1f", "/")
            decision.conflicts.append(Conflict(candidates.entity, name, why + rest))
    return decision


def _why_no_copy(candidates: Candidates, key: str) -> str:
    is_taken = candidates.twin(key) is not None
    return "; a copy beside it would have the same name" if is_taken else ""


def _why(candidates: Candidates, key: str, unequal: Mapping[str, str]) -> str | None:
    if candidates.moved(key):
        mine = candidates.source.units[key]
        there = candidates.target.units[candidates.keys[key]]
        goes = None if mine is None else candidates.experiments(mine)
        return f"it is in experiment {there} in the target, and would go to {goes}"
    if key in unequal:
        return unequal[key]
    return None
