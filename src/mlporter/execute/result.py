"""What a transfer did: counted, with everything left out by name. The exit code comes from here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlporter.errors import ExitCode, LeftOut
from mlporter.notebooks import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.plan.policy import Conflict, Renamed, UnitCount
    from mlporter.plan.three_sides.actions import Action, ActionBook

__all__ = [
    "LEFT_OUT_SHOWN",
    "NAMED_IN_JSON",
    "ActionsResult",
    "FilesResult",
    "LeftOutSummary",
    "Result",
    "TableResult",
]

LEFT_OUT_SHOWN = 1000
"""How many left-out things a result holds by name; a bundle's `left_out` table holds all."""

NAMED_IN_JSON = 1000
"""How many renamed things and how many conflicts ``--json`` names; a result holds all."""


@dataclass(frozen=True, slots=True)
class TableResult:
    """Rows of one table: new, already there and equal, skipped, failed, and changed.

    ``changed`` are rows that the target has and that get other values, or go. They are among no
    other number.
    """

    table: str
    copied: int
    already_there: int = 0
    skipped: int = 0
    failed: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class FilesResult:
    """Artifact files: how they were treated (copy, reference, none), counts and bytes.

    ``stored_files`` and ``stored_bytes`` count each content once. ``by_storage`` of them, with
    ``bytes_by_storage``, the storage copied itself, so that they passed through no machine.
    """

    mode: str
    files: int = 0
    bytes: int = 0
    already_there: int = 0
    stored_files: int = 0
    stored_bytes: int = 0
    by_storage: int = 0
    bytes_by_storage: int = 0


@dataclass(frozen=True, slots=True)
class LeftOutSummary:
    """What was not copied: totals, and the first `LEFT_OUT_SHOWN` by name."""

    total: int = 0
    unexpected: int = 0
    first: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionsResult:
    """What becomes of what the target has: counted by kind of unit, and the first by name.

    Attributes:
        counts: By the table of a unit, and then by what is done: create, update, move, delete,
            keep, conflict.
        first: The first `mlporter.plan.three_sides.actions.NAMED`; creations are only counted.
        digest: The same for the same actions, in whatever order.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    first: tuple[Action, ...] = ()
    digest: str = ""

    @classmethod
    def of(cls, book: ActionBook) -> ActionsResult:
        """What a book says."""
        counts: dict[str, dict[str, int]] = {}
        for (unit, kind), count in sorted(book.counts.items()):
            counts.setdefault(unit, {})[kind.value] = count
        return cls(counts, tuple(book.first), book.digest)

    def total(self, *kinds: str) -> int:
        """How many of some kinds."""
        return sum(counts.get(kind, 0) for counts in self.counts.values() for kind in kinds)


@dataclass(frozen=True)
class Result(Shown):
    """What a verb did, for people and for ``--json``.

    Attributes:
        verb: ``export``, ``import``, ``copy`` or ``unpack``.
        source: Where it read, redacted.
        target: Where it wrote, redacted.
        tables: Per table, in the catalogue's order; tables without rows are in it too.
        files: Artifact files.
        left_out: What was not copied. Unexpected ones make the exit code 3.
        notes: Sentences that people should read: limits of the kind of target, placeholders.
        seconds: How long it took.
        next_command: What a user would sensibly run now; of a plan, what carries it out.
        dry_run: Whether this is a plan: what would be done, and nothing was.
        fresh: Whether the target held nothing but what MLflow puts into a new database.
        units: Where it did hold something: runs, logged models, traces, versions …, counted.
        on_conflict: What was to be done with what is different in the target.
        renamed: What gets another name or id in the target, and which.
        conflicts: Of a plan: what is different in the target. With any it would be refused.
        misfits: Of a plan: values that the target cannot hold. Likewise.
        actions: What becomes of what the target has, unit by unit.
        unreadable: Of a plan with ``--strict-artifacts``: files that cannot be read. Likewise.
    """

    verb: str
    source: str
    target: str
    tables: tuple[TableResult, ...]
    files: FilesResult
    left_out: LeftOutSummary = field(default_factory=LeftOutSummary)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    next_command: str = ""
    dry_run: bool = False
    fresh: bool = True
    units: tuple[UnitCount, ...] = ()
    on_conflict: str = "fail"
    renamed: tuple[Renamed, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    misfits: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    actions: ActionsResult = field(default_factory=ActionsResult)

    @property
    def rows(self) -> int:
        """Rows written, new or changed, all tables together."""
        return sum(table.copied + table.changed for table in self.tables)

    @property
    def exit_code(self) -> ExitCode:
        """4 if it would be refused; 3 where something was left out unexpectedly or failed; or 0."""
        if self.conflicts or self.misfits or self.unreadable:
            return ExitCode.REFUSED
        failed = any(table.failed for table in self.tables)
        return ExitCode.INCOMPLETE if failed or self.left_out.unexpected else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints; of lists without end the beginning, and the total."""
        rest = asdict(replace(self, renamed=(), conflicts=(), actions=ActionsResult()))
        rest["actions"] = {
            "counts": self.actions.counts,
            "first": [action.as_dict() for action in self.actions.first],
            "digest": self.actions.digest,
        }
        rest["renamed"] = _beginning(self.renamed)
        rest["conflicts"] = _beginning(self.conflicts)
        return {**rest, "rows": self.rows, "exit_code": int(self.exit_code)}


def _beginning(things: Sequence[Renamed] | Sequence[Conflict]) -> dict[str, Any]:
    first = [asdict(thing) for thing in things[:NAMED_IN_JSON]]
    return {"total": len(things), "first": first}
