"""What a target deleted and the source has: what counts as there, and what gives way."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from mlporter.plan.deleted_rows import Leftover, leftovers, tombstones
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlporter.plan.matching.by_name import Matching
    from mlporter.plan.policy import Merge
    from mlporter.plan.side_reader import Reader

__all__ = ["Deletions", "notes_on_deleted"]


class Deletions:
    """Deleted versions of both sides, and rows that the target has left over of dead things.

    Args:
        source: What is copied.
        target: What is there.
        holds_references: Whether the target never had a row that refers to nothing.
    """

    def __init__(self, source: Reader, target: Reader, *, holds_references: bool) -> None:
        self._source = source
        self._target = target
        self._holds_references = holds_references

    @cached_property
    def _dead_there(self) -> frozenset[str]:
        return tombstones(self._target)

    @cached_property
    def _dead_here(self) -> frozenset[str]:
        return tombstones(self._source)

    def dead_only_there(self, keys: Mapping[str, str]) -> frozenset[str]:
        """Versions (the target's keys) of which it has a tombstone, and the source has them alive.

        Args:
            keys: The target's keys by the source's.
        """
        if not self._dead_there:
            return frozenset()
        alive = {new for old, new in keys.items() if old not in self._dead_here}
        return self._dead_there & alive

    def dead_alike(self, keys: Mapping[str, str]) -> set[str]:
        """Versions that are deleted on both sides: nothing is left of them that could differ."""
        dead = self._dead_here if self._dead_there else frozenset()
        return {old for old in dead if keys.get(old) in self._dead_there}

    def leftovers(self, new: Mapping[str, frozenset[str]], matching: Matching) -> Counter[Leftover]:
        """Rows of the target below things that it has not, and that come: they make room."""
        coming: dict[str, Collection[str]] = dict(new)
        if self._holds_references:
            coming["model_versions"] = new.get("model_versions", frozenset()) & self._dead_there
        else:
            coming["experiments"] = matching.new_experiments
            coming["registered_models"] = matching.new_models
        return leftovers(self._target, coming, everywhere=not self._holds_references)


def notes_on_deleted(merge: Merge, restored: int) -> list[str]:
    """Sentences on what the target had deleted, and what becomes of it.

    Args:
        merge: What is decided.
        restored: How many experiments are restored.
    """
    counts: Counter[str] = Counter()
    for left, rows in merge.leftovers.items():
        counts[left.table] += rows
    notes = [
        f"{plural(count, 'row')} of {table} that the target had left over of what it purged "
        f"{'gives' if count == 1 else 'give'} way to the source's."
        for table, count in counts.items()
    ]
    if links := len(merge.links):
        notes.append(
            f"{plural(links, 'row')} of the target {'names' if links == 1 else 'name'} again what "
            "was purged there and comes back."
        )
    again = {"experiments": restored, **{u.kind: u.restored for u in merge.units}}
    notes += [
        f"{count} {kind} that the target had marked as deleted: active again (--undelete)."
        for kind, count in again.items()
        if count
    ]
    return notes
