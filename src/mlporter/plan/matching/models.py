"""Registered models and prompts matched by name, and renamed where asked: for a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import LeftOut
from mlporter.plan.matching.names import free_name, refuse_twice, try_names
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.side_reader import models_of
from mlporter.plan.units import MODELS, Chosen, key_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.plan.merge.equality import Comparison
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.stores.protocols import Source

__all__ = ["Models"]

Key = tuple[str, str]
"""Workspace and name."""


class Models:
    """Registered models of both sides; fills in the merge's id map.

    Attributes:
        new: The keys that those get which the target has not.
        removed: Those that were sent, and that somebody removed at the target: they stay away.
        put_back: Those that were sent, were removed there, and are made again: the target's keys.
    """

    def __init__(
        self, source: Source, target: Reader, comparison: Comparison, merge: Merge, policy: Policy
    ) -> None:
        self._source = source
        self._comparison = comparison
        self._merge = merge
        self._policy = policy
        self._target = target
        self._renamed: dict[Key, str] = {}
        self.new: frozenset[str] = frozenset()
        self.removed: frozenset[Key] = frozenset()
        self.put_back: frozenset[str] = frozenset()

    def match(self, differing_versions: Callable[[], set[str]], base: Base) -> Chosen:
        """Match by name; those in conflict get another name, if the policy says so.

        Returns:
            Those that the target has not.
        """
        ids, policy = self._merge.ids, self._policy
        mine, there = models_of(self._source), models_of(self._target)
        asked = policy.new_names
        ids.models.update({key: asked[key[1]] for key in mine if key[1] in asked})
        taken = {name for _, name in mine}
        trials = {key: free_name(ids.model(*key), taken) for key in mine}
        renames = policy.on_conflict == "rename"

        def look() -> dict[Key, str]:
            found = self._described_otherwise(mine, there)
            return found | self._below(differing_versions) if renames else found

        def rename(key: Key) -> None:
            ids.models[key] = next(trials[key])

        conflicts = dict(try_names(look, rename if renames else None))
        refuse_twice("registered models", map(self._mapped, mine))
        self._renamed = dict(ids.models)
        self._report(conflicts)
        return self._settle(mine, there, base)

    def _settle(self, mine: dict[Key, str], there: dict[Key, str], base: Base) -> Chosen:
        lacking = {key: self._mapped(key) for key in mine if self._mapped(key) not in there}
        known = base.groups(MODELS, [key_text(new) for new in lacking.values()])
        gone = frozenset(key for key, new in lacking.items() if key_text(new) in known)
        if self._policy.leaves_removed:
            self.removed = gone
            lacking = {key: new for key, new in lacking.items() if key not in gone}
        else:
            self.put_back = frozenset(key_text(lacking[key]) for key in gone)
        self.new = frozenset(map(key_text, lacking.values()))
        return Chosen(frozenset(key_text(key) for key in mine.keys() - lacking), without=True)

    def _mapped(self, key: Key) -> Key:
        return self._merge.ids.workspace(key[0]), self._merge.ids.model(*key)

    def removed_names(self) -> list[str]:
        """What those that were removed are called in the target."""
        return sorted("/".join(self._mapped(key)) for key in self.removed)

    def _described_otherwise(self, mine: dict[Key, str], there: dict[Key, str]) -> dict[Key, str]:
        if self._policy.updates:
            return {}  # that is decided column by column
        return {
            key: "its description is different in the target"
            for key, text in mine.items()
            if text and there.get(self._mapped(key), text) != text
        }

    def _below(self, differing_versions: Callable[[], set[str]]) -> dict[Key, str]:
        """Models whose versions, tags or aliases differ."""
        found: dict[Key, str] = {}
        for key in differing_versions():
            workspace, name, version = key.split("\x1f")
            found[workspace, name] = f"version {version} differs"
        back = {self._mapped(key): key for key in models_of(self._source)}
        for table in ("registered_model_tags", "registered_model_aliases"):
            for row in self._comparison.rows(table, self._merge.ids).differ:
                workspace, name, what = row.split("\x1f", 2)
                found[back[workspace, name]] = f"{table} {what!r} differs"
        return found

    def _report(self, conflicts: dict[Key, str]) -> None:
        for (_, name), why in conflicts.items():
            if self._policy.on_conflict == "skip":
                entry = LeftOut(MODELS, name, "", "conflict", f"{why}, and keeps it")
                self._merge.left_out.append(entry)
            else:
                self._merge.conflicts.append(Conflict(MODELS, name, why))

    def renamed(self) -> list[Renamed]:
        """Those that get another name."""
        return [Renamed("registered model", old, new) for (_, old), new in self._renamed.items()]
