"""What is compared and what is not, with the reasons: a pure decision before any row is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from mlporter.catalogue.rest_limits import (
    BLANKS,
    HIDDEN_COLUMNS,
    HIDDEN_ROWS,
    HIDDEN_TABLES,
    NUMBERS,
    UNSETTABLE,
    USUAL,
)
from mlporter.catalogue.tables.own import ARTIFACTS
from mlporter.catalogue.types import Kind, Table
from mlporter.compare.rows.shape import Pair, pair_up
from mlporter.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.stores.protocols import Description
    from mlporter.workers.task_pool import TaskPool

__all__ = ["ANCHORED", "ArtifactDepth", "CompareOptions", "Scope", "decide_scope"]

ANCHORED = frozenset({"model_versions"})
"""Tables whose places are compared by whose files they are: a version is what it points at."""

_KIND_REASONS = {
    Kind.TRANSIENT: "about one server at one moment",
    Kind.SECRET: "secret",
    Kind.DERIVED: "computed by MLflow from other tables",
    Kind.OWN: "about a bundle, not about the registry",
}


_PLACES = "Locations of files, rather than the files"
_OWNERS = "By whose files they are, not as text"

_ALIKE = "NULL and an empty text or list, 1 and 1.0, which are the same in MLflow's REST API"
_HIDDEN = "What MLflow's REST API does not show"

_NO_USERS = "Users and permissions, which a server does not show and a file store does not have"

_UNSETTABLE = "What a server sets itself in a copy"

_BRIEFLY = {
    _HIDDEN: "fields that a server does not show",
    _UNSETTABLE: "fields that a server sets itself",
    _PLACES: "file locations",
    _NO_USERS: "tables of users",
    "Secrets": "secrets",
    **{
        f"Tables that are {reason}": brief
        for reason, brief in (
            (_KIND_REASONS[Kind.DERIVED], "internal tables"),
            (_KIND_REASONS[Kind.TRANSIENT], "internal tables"),
            (_KIND_REASONS[Kind.SECRET], "secrets"),
        )
    },
}
"""What is not compared, in brief. What is compared in another way, or is no part of a registry, is
not in it."""

_Ignored = dict[str, dict[str, None]]
"""Reasons, and what they hold for, both in the order they came up."""


@dataclass(frozen=True)
class Scope:
    """What is compared.

    Attributes:
        pairs: Tables to compare, in the catalogue's order.
        files: Whether files are compared.
        ignored: Sentences on what is not compared, and why.
        briefly: The same in brief: what, and how many; 0 where there is nothing to count.
    """

    pairs: tuple[Pair, ...]
    files: bool
    ignored: tuple[str, ...]
    briefly: dict[str, int]


def decide_scope(
    left: tuple[Description, Sequence[Table]],
    right: tuple[Description, Sequence[Table]],
    options: CompareOptions,
) -> Scope:
    """Decide what of two sources is compared.

    Raises:
        UsageError: a table was asked for that neither side has.
    """
    mine = {table.name: table for table in left[1]}
    theirs = {table.name: table for table in right[1]}
    names = list(dict.fromkeys((*mine, *theirs)))
    _refuse_unknown(names, options)
    bundles = "bundle" in (left[0].kind, right[0].kind)
    told = left[0].over_rest and right[0].over_rest and not options.strict
    ignored: _Ignored = {}
    pairs = []
    for name in _asked(names, options):
        one, two = mine.get(name), theirs.get(name)
        reason = _why_not(one, two, strict=options.strict, bundles=bundles)
        if reason:
            ignored.setdefault(f"Tables that are {reason}", {})[name] = None
            continue
        if Kind.USERS in _kinds(one, two) and (left[0].has_no_users or right[0].has_no_users):
            ignored.setdefault(_NO_USERS, {})[name] = None
            continue
        if told and name in HIDDEN_TABLES:
            ignored.setdefault(_HIDDEN, {})[name] = None
            continue
        leave = _columns_left(one, two, ignored, strict=options.strict)
        if told:
            leave |= _hidden(name, ignored)
        if options.copied and not options.strict:
            leave |= _unsettable(name, ignored)
        pair = pair_up(one, two, leave)
        if pair is not None:
            pairs.append(pair)
    sentences = [f"{reason}: {', '.join(names)}." for reason, names in ignored.items()]
    if options.tables is not None:
        sentences.append(f"All but what was asked for: {', '.join(options.tables)}.")
    files = _why_no_files(left[0], right[0], options)
    sentences += [files] if files else []
    return Scope(tuple(pairs), not files, tuple(sentences), _briefly(ignored, options, files))


def _briefly(ignored: _Ignored, options: CompareOptions, no_files: str) -> dict[str, int]:
    """What is not compared, and how many of each; 0 where there is nothing to count."""
    found: dict[str, int] = {}
    for reason, names in ignored.items():
        if brief := _BRIEFLY.get(reason):
            found[brief] = found.get(brief, 0) + len(names)
    if options.tables is not None:
        found["tables that were not asked for"] = 0
    if no_files:
        found["files"] = 0
    return found


def _kinds(*tables: Table | None) -> set[Kind]:
    return {table.kind for table in tables if table is not None}


def _asked(names: list[str], options: CompareOptions) -> list[str]:
    return [name for name in names if options.tables is None or name in options.tables]


def _refuse_unknown(names: list[str], options: CompareOptions) -> None:
    unknown = sorted(set(options.tables or ()) - {*names, ARTIFACTS.name})
    if unknown:
        raise UsageError("neither side has such a table", subject=", ".join(unknown))


def _why_not(one: Table | None, two: Table | None, *, strict: bool, bundles: bool) -> str:
    """Why a table is not compared, or ""."""
    kinds = _kinds(one, two)
    kind = next(iter(kinds - {Kind.UNKNOWN, Kind.NEWER}), Kind.UNKNOWN)
    if kind is Kind.DERIVED and strict and one is not None and two is not None:
        return "derived, which a bundle does not hold" if bundles else ""
    return _KIND_REASONS.get(kind, "")


def _columns_left(
    one: Table | None, two: Table | None, ignored: _Ignored, *, strict: bool
) -> frozenset[str]:
    """Columns not to compare; says so in `ignored`."""
    leave: set[str] = set()
    for table in (one, two):
        if table is None:
            continue
        secret = [column.name for column in table.columns if column.secret]
        _say(ignored, "Secrets", table, secret)
        leave.update(secret)
        if strict:
            continue
        for place in table.places:
            rows = f" where {place.where[0]} is {place.where[1]}" if place.where else ""
            reason = _OWNERS if table.name in ANCHORED else _PLACES
            _say(ignored, reason, table, [place.column + rows])
            if place.where is None and table.name not in ANCHORED:
                leave.add(place.column)
    return frozenset(leave)


def _hidden(table: str, ignored: _Ignored) -> frozenset[str]:
    """Columns and rows that a server does not show; says so in `ignored`."""
    columns = HIDDEN_COLUMNS.get(table, ())
    for column in columns:
        ignored.setdefault(_HIDDEN, {})[f"{table}.{column}"] = None
    if table in HIDDEN_ROWS:
        ignored.setdefault(_HIDDEN, {})[f"deleted {table}"] = None
    for name in (*BLANKS.get(table, ()), *NUMBERS.get(table, ()), *USUAL.get(table, ())):
        ignored.setdefault(_ALIKE, {})[f"{table}.{name}"] = None
    return frozenset(columns)


def _unsettable(table: str, ignored: _Ignored) -> frozenset[str]:
    """Columns that a server fills in itself; says so in `ignored`."""
    columns = UNSETTABLE.get(table, frozenset())
    for column in sorted(columns):
        ignored.setdefault(_UNSETTABLE, {})[f"{table}.{column}"] = None
    return columns


def _say(ignored: _Ignored, reason: str, table: Table, columns: list[str]) -> None:
    for column in columns:
        ignored.setdefault(reason, {})[f"{table.name}.{column}"] = None


def _why_no_files(left: Description, right: Description, options: CompareOptions) -> str:
    """Why files are not compared, or ""."""
    if options.artifacts == "none":
        return "Artifacts: not asked for."
    if options.tables is not None and ARTIFACTS.name not in options.tables:
        return "Artifacts: not asked for."
    for side, place in (("A", left), ("B", right)):
        if place.artifacts != "copy":
            how = "only refers to its files" if place.artifacts == "reference" else "has no files"
            return f"Artifacts: {side} ({place.address}) {how}."
    return ""


ArtifactDepth = Literal["content", "listing", "none"]
"""How files are compared: by their bytes, by path and size, or not at all."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What a comparison looks at, and how closely.

    Attributes:
        strict: Compare places as text, JSON documents as text, 0.0 and -0.0 as different, and
            derived tables too (where neither side is a bundle, which holds none).
        artifacts: ``content`` compares files by SHA-256, ``listing`` by path and size.
        limit: How many differences are kept; all are counted.
        tables: Only these tables (``artifacts`` among them stands for the files); None means all.
        workers: Threads that read files to hash them.
        pool: Other processes that read them instead, if there are any.
        copied: One side is a copy on a server: what a server cannot be told is left out.

    Raises:
        UsageError: a value that makes no sense.
    """

    strict: bool = False
    artifacts: ArtifactDepth = "content"
    limit: int = 1000
    tables: tuple[str, ...] | None = None
    workers: int = 4
    pool: TaskPool | None = field(default=None, compare=False)
    copied: bool = False

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.artifacts not in get_args(ArtifactDepth):
            message = f"artifacts are compared by {', '.join(get_args(ArtifactDepth))}"
            raise UsageError(message, subject=str(self.artifacts))
        if self.limit < 0 or self.workers < 1:
            raise UsageError("limit must not be negative, and workers at least 1")
