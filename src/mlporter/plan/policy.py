"""What the user wants done where both sides have something, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from mlporter.errors import UsageError
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.units import Choice, Chosen

if TYPE_CHECKING:
    from mlporter.errors import LeftOut
    from mlporter.plan.deleted_rows import Leftover, Link, Update

__all__ = ["Conflict", "Merge", "OnConflict", "Policy", "Renamed", "UnitCount"]

_WORKSPACE = re.compile(r"(?=.{2,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""As MLflow takes them (mlflow.store.workspace.abstract_store, WorkspaceNameValidator)."""

OnConflict = Literal["fail", "skip", "rename"]
"""What to do with what the target has another one of: refuse the whole, leave it out and say so,
or carry it under another name or id."""


@dataclass(frozen=True)
class Policy:
    """How to merge into a registry in use.

    Attributes:
        on_conflict: See `OnConflict`.
        renames: ``OLD=NEW`` pairs: names that experiments and registered models get.
        to_workspace: The workspace that everything goes to, or None to keep them.
        rename_prefix: What goes before the names of experiments that are not renamed.
        undelete: Restore what the target has only marked as deleted, and the source has not.

    Raises:
        UsageError: an unknown policy, a rename that is none, or no name for a workspace.
    """

    on_conflict: OnConflict = "fail"
    renames: tuple[str, ...] = ()
    to_workspace: str | None = None
    rename_prefix: str = ""
    undelete: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.on_conflict not in get_args(OnConflict):
            raise UsageError(
                f"on_conflict is one of fail, skip and rename, not {self.on_conflict!r}"
            )
        for pair in self.renames:
            old, equals, new = pair.partition("=")
            if not (old and equals and new):
                raise UsageError(f"{pair!r} is not OLD=NEW")
        workspace = self.to_workspace
        if workspace is not None and not _WORKSPACE.fullmatch(workspace):
            raise UsageError(
                f"{workspace!r} is no name for a workspace",
                hint="MLflow takes 2 to 63 small letters and digits, with hyphens between them",
            )

    def experiment_name(self, name: str) -> str | None:
        """The new name of an experiment, or None if it keeps its own."""
        if name in self.new_names or not self.rename_prefix:
            return self.new_names.get(name)
        return f"{self.rename_prefix}{name}"

    @cached_property
    def new_names(self) -> dict[str, str]:
        """New names by old ones."""
        pairs = (pair.partition("=") for pair in self.renames)
        return {old: new for old, _, new in pairs}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something of the source that the target has another one of."""

    kind: str
    id: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id!r}: {self.why}"


@dataclass(frozen=True, slots=True)
class Renamed:
    """Something that gets another name or id: ``experiment``, its old id and its new one."""

    kind: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class UnitCount:
    """Things of a kind: carried, already there and the same, left out as they conflict.

    Of those that are there, `restored` were marked as deleted, and are active again.
    """

    kind: str
    new: int = 0
    there: int = 0
    skipped: int = 0
    restored: int = 0


@dataclass
class Merge:
    """What a merge will do: decided, and not yet done.

    Attributes:
        ids: What is called otherwise in the target.
        choice: What of the source is carried.
        new: What of each kind of unit is new, by the target's keys.
        skipped: What of each kind is left out by ``--on-conflict skip``.
        skipped_rows: How many single rows of each table are, likewise.
        conflicts: Why it is refused; empty if it is not.
        renamed: What gets another name or id, experiments and names first.
        units: Counts by kind.
        leftovers: Rows of the target below things that it purged and that are carried: they make
            room. Children come first.
        updates: Rows of the target that change: what is restored (`Policy.undelete`).
        links: Columns of the target that named what it purged, and are to name it again.
        left_out: What is left out by the policy.
        notes: Sentences for people.
    """

    ids: IdMap = field(default_factory=IdMap)
    choice: Choice = field(default_factory=Choice)
    new: dict[str, frozenset[str]] = field(default_factory=dict)
    skipped: dict[str, Chosen] = field(default_factory=dict)
    skipped_rows: dict[str, int] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    renamed: list[Renamed] = field(default_factory=list)
    units: list[UnitCount] = field(default_factory=list)
    leftovers: Counter[Leftover] = field(default_factory=Counter)
    updates: list[Update] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> Counter[str]:
        """How many rows that are there change, by table."""
        return Counter(table for table, _ in {(u.table, u.key) for u in self.updates})
