"""What the user wants done where both sides have something, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from mlporter.errors import LeftOut, UsageError
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.three_sides.sides import Wish
from mlporter.plan.units import Choice, Chosen, key_text
from mlporter.wording import plural, thing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlporter.plan.deleted_rows import Leftover, Link, Update
    from mlporter.plan.three_sides.sides import Side

__all__ = [
    "Conflict",
    "InStep",
    "Merge",
    "OnConflict",
    "Policy",
    "Removal",
    "Renamed",
    "UnitCount",
    "how_to_settle",
    "said_of_conflicts",
    "things_in_conflict",
]

_WORKSPACE = re.compile(r"(?=.{2,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""As MLflow takes them (mlflow.store.workspace.abstract_store, WorkspaceNameValidator)."""

OnConflict = Literal["fail", "skip", "rename", "update"]
"""What to do with what the target has otherwise: refuse the whole, leave it out and say so,
copy it under another name or id, or change it where the target still has what was sent."""


@dataclass(frozen=True)
class InStep:
    """What `sync` wants besides.

    Attributes:
        delete: Delete what the source has no more.
        max_delete: Refuse to delete more than so many of a kind; None is `MOST_DELETED`.
        prefer: Whose wins where the target was edited: the source's (``ours``), or the target's
            (``theirs``) also where both changed; None keeps edits, and calls the rest a conflict.
        full: Read everything, not only what seems to have changed.
    """

    delete: bool = False
    max_delete: int | None = None
    prefer: Literal["ours", "theirs"] | None = None
    full: bool = False


@dataclass(frozen=True)
class Policy:
    """How to merge into a registry in use.

    Attributes:
        on_conflict: See `OnConflict`.
        renames: ``OLD=NEW`` pairs: names that experiments and registered models get.
        to_workspace: The workspace that everything goes to, or None to keep them.
        rename_prefix: What goes before the names of experiments that are not renamed.
        undelete: Restore what is marked as deleted in the target, but not in the source.
        step: What `sync` wants besides; None of every other verb.
        rebase: What differs and nothing is remembered of counts as edited at the target.
        drop_unknown: Leave out, and name, what the target's older schema has no place for.
        force: With ``update``: also over what was edited at the target, or is newer there.

    Raises:
        UsageError: an unknown policy, a rename that is none, or no name for a workspace.
    """

    on_conflict: OnConflict = "fail"
    renames: tuple[str, ...] = ()
    to_workspace: str | None = None
    rename_prefix: str = ""
    undelete: bool = False
    step: InStep | None = None
    force: bool = False
    rebase: bool = False
    drop_unknown: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.on_conflict not in get_args(OnConflict):
            raise UsageError(
                f"on_conflict must be fail, skip, rename or update, not {self.on_conflict!r}"
            )
        for pair in self.renames:
            old, equals, new = pair.partition("=")
            if not (old and equals and new):
                raise UsageError(f"{pair!r} is not OLD=NEW")
        workspace = self.to_workspace
        if workspace is not None and not _WORKSPACE.fullmatch(workspace):
            raise UsageError(
                f"{workspace!r} is not a valid name for a workspace",
                hint=(
                    "MLflow accepts 2 to 63 lower-case letters and digits, with hyphens between "
                    "them"
                ),
            )

        if self.force and self.on_conflict != "update":
            raise UsageError("--force goes with --on-conflict update, and with sync")

    @property
    def updates(self) -> bool:
        """Whether things that the target has are changed."""
        return self.on_conflict == "update"

    @property
    def is_full(self) -> bool:
        """Whether everything is read that others would take for unchanged."""
        return self.step is not None and self.step.full

    @property
    def is_quick(self) -> bool:
        """Whether only what seems to have changed is read in full."""
        return self.step is not None and not self.step.full

    @property
    def leaves_out(self) -> bool:
        """Whether what is in conflict is left out and named, and the rest goes on."""
        return self.on_conflict == "skip" or self.step is not None

    @property
    def stays(self) -> str:
        """What is said of what the target keeps."""
        how = " (--on-conflict skip)" if self.on_conflict == "skip" else ""
        return f"the target keeps its own{how}"

    @property
    def wish(self) -> Wish:
        """What is done about what differs."""
        if not self.updates:
            return Wish(puts_back=True)
        if self.step is None:
            unknown: Side = "theirs" if self.rebase else "ours"
            return Wish(updates=True, unknown=unknown, force=self.force, puts_back=True)
        return Wish(
            updates=True,
            edits="ours" if self.step.prefer == "ours" else "theirs",
            both=self.step.prefer or "conflict",
            unknown="theirs" if self.rebase else self.step.prefer or "conflict",
            force=self.force,
            deletes=self.step.delete,
            puts_back=not self.leaves_removed,
        )

    @property
    def restores(self) -> bool:
        """Whether an experiment comes out of the target's trash that is not in the source's."""
        return self.undelete or (self.step is not None and self.wish.edits == "ours") or self.force

    @property
    def way_to_restore(self) -> str:
        """The option by which it would."""
        return "--undelete" if self.step is None else "--ours"

    @property
    def leaves_removed(self) -> bool:
        """Whether what was sent, and somebody removed at the target, stays away."""
        return self.step is not None and self.step.prefer != "ours" and not self.force

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


def how_to_settle(on_conflict: OnConflict) -> str:
    """What to do about conflicts that a whole transfer is refused for."""
    sync = "`mlporter sync` keeps edits at the target, and does the rest"
    if on_conflict == "update":
        return f"--dry-run shows more; {sync}; --force lets the source win"
    return (
        "--dry-run and mlporter diff show more; --on-conflict skip leaves them out, rename copies "
        f"them under new names, update changes what is unchanged since it was sent; {sync}"
    )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something of the source that the target has, and has otherwise."""

    kind: str
    id: str
    why: str

    def __str__(self) -> str:
        return f"{thing(self.kind, self.id)}: {self.why}"

    def left_out(self) -> LeftOut:
        """As it is said where the target keeps its own, and the rest goes on."""
        said = f"{self.why}; the target keeps its own"
        return LeftOut(self.kind, self.id, "", "conflict", said)


def said_of_conflicts(conflicts: Iterable[Conflict]) -> str:
    """How many things are in conflict, as a sentence."""
    count = things_in_conflict(conflicts)
    return f"{plural(count, 'thing')} {'is' if count == 1 else 'are'} in conflict with the target"


def things_in_conflict(conflicts: Iterable[Conflict]) -> int:
    """How many things are in conflict; one may be for several reasons."""
    return len({(conflict.kind, conflict.id) for conflict in conflicts})


@dataclass(frozen=True, slots=True)
class Renamed:
    """Something that gets another name or id: ``experiment``, its old id and its new one."""

    kind: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class UnitCount:
    """Things of a kind: copied, already there and the same, left out as they conflict.

    Of those that are there, `restored` were marked as deleted, and are active again.
    """

    kind: str
    new: int = 0
    there: int = 0
    skipped: int = 0
    restored: int = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """A row of the target that goes."""

    table: str
    columns: tuple[str, ...]
    key: tuple[object, ...]


@dataclass
class Merge:
    """What a merge will do: decided, and not yet done.

    Attributes:
        ids: What is called otherwise in the target.
        choice: What of the source is copied.
        new: What of each kind of unit is new, by the target's keys.
        skipped: What of each kind is left out by ``--on-conflict skip``.
        skipped_rows: How many single rows of each table are, likewise.
        conflicts: Why it is refused; empty if it is not.
        renamed: What gets another name or id, experiments and names first.
        units: Counts by kind.
        leftovers: Rows of the target below things that it purged and that are copied: they make
            room. Children come first.
        updates: Rows of the target that change: what is restored (`Policy.undelete`).
        links: Columns of the target that named what it purged, and are to name it again.
        left_out: What is left out by the policy.
        notes: Sentences for people.
        removals: Rows that the target loses, as the source has them no more.
        appended: Runs that the target has and that get metric points, and how many.
        disputed: Digests of the keys of rows on which the sides will differ afterwards, by table.
        touched: Units of the target (table and key) that get or lose something.
        forgotten: Units (table and key) that the target has no more, or loses.
        gone: Those of them of which the source has no row any more, not even one marked as deleted.
        noted: The target's numbers of experiments, and the names they were sent with, by the
            source's numbers.
        sent_users: Digests of users and permissions that the target has of the source's, to be
            noted; None where none are copied.
    """

    ids: IdMap = field(default_factory=IdMap)
    choice: Choice = field(default_factory=Choice)
    new: dict[str, frozenset[str]] = field(default_factory=dict)
    skipped: dict[str, Chosen] = field(default_factory=dict)
    skipped_rows: Counter[str] = field(default_factory=Counter)
    conflicts: list[Conflict] = field(default_factory=list)
    renamed: list[Renamed] = field(default_factory=list)
    units: list[UnitCount] = field(default_factory=list)
    leftovers: Counter[Leftover] = field(default_factory=Counter)
    updates: list[Update] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    appended: dict[str, int] = field(default_factory=dict)
    disputed: Mapping[str, Collection[int]] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    gone: frozenset[tuple[str, str]] = frozenset()
    noted: tuple[dict[str, str], dict[str, str]] = ({}, {})
    sent_users: dict[str, str] | None = None

    @property
    def changed(self) -> Counter[str]:
        """How many rows that are there change or go, by table."""
        removed = {(one.table, one.columns, one.key) for one in self.removals}
        return self._updated(frozenset()) + Counter(table for table, _, _ in removed)

    @property
    def followed(self) -> Counter[str]:
        """How many of these the source has, too."""
        return self._updated(self.gone)

    def _updated(self, without: frozenset[tuple[str, str]]) -> Counter[str]:
        rows = {(one.table, one.key) for one in self.updates}
        return Counter(table for table, key in rows if (table, key_text(key)) not in without)
