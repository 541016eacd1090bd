"""Plan files: what would be done, written down to be looked at, and held against what is done."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.errors import RefusedError, UnreachableError, UsageError
from mlporter.execute.named_files import NamedKind, check_named_file, write_named_file
from mlporter.notebooks import Shown
from mlporter.plan.three_sides.actions import NAMED, Action, ActionKind, sum_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlporter.execute.options import Expected
    from mlporter.execute.result import Result
    from mlporter.plan.three_sides.actions import ActionBook

__all__ = [
    "PLAN_FORMAT",
    "PlanFile",
    "check_expected",
    "check_plan_file",
    "is_plan",
    "read_plan",
    "write_plan",
]

PLAN_FORMAT = "mlporter-plan"
_VERSION = 1
_SHOWN = 5
"""How many actions are named that a plan file has, or has not."""

_BEGINNING = 20
"""How many conflicts, left-out things and the like a plan file names."""

_PLAN = NamedKind("plan", f'{{"format": "{PLAN_FORMAT}"'.encode(), "--plan-out")

_LONGEST = 500
_LONGEST_HEAD = 1 << 20


@dataclass(frozen=True)
class PlanFile(Shown):
    """A plan file, as far as people look at it.

    Attributes:
        path: The file.
        head: Its first line: the verb, the two places, the other arguments, and what was found.
        counts: How many actions, by unit and kind.
        first: The first `mlporter.plan.three_sides.actions.NAMED` actions of each kind.
    """

    path: str
    head: Mapping[str, Any]
    counts: Mapping[tuple[str, ActionKind], int] = field(default_factory=dict)
    first: tuple[Action, ...] = ()

    @property
    def verb(self) -> str:
        """What carries it out."""
        return str(self.head["verb"])

    @property
    def arguments(self) -> dict[str, Any]:
        """What was asked for beside the two places."""
        return dict(self.head["arguments"])

    @property
    def found(self) -> tuple[dict[str, Any], ...]:
        """What was found when it was made: for each transfer its files, what is left out ...."""
        return tuple(self.head.get("found", ()))

    @property
    def is_refused(self) -> bool:
        """Whether it would be refused as it is, for conflicts, say."""
        reasons = ("conflicts", "misfits", "unreadable")
        return any(one[name] for one in self.found for name in reasons)

    def total(self, *kinds: ActionKind) -> int:
        """How many actions are of some kinds."""
        return sum(count for (_, kind), count in self.counts.items() if kind in kinds)

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints: the first line, the counts, and the first actions."""
        counts: dict[str, dict[str, int]] = {}
        for (unit, kind), count in sorted(self.counts.items()):
            counts.setdefault(unit, {})[kind.value] = count
        first = [action.as_dict() for action in self.first]
        return {**self.head, "counts": counts, "first": first, "exit_code": 0}


def check_plan_file(file: str | None) -> None:
    """Refuse, before any work, a file that a plan may not be written to.

    Raises:
        UsageError: it is there, and is no plan; or would be in a bundle or a repository.
        UnreachableError: there is no such folder.
    """
    check_named_file(file, _PLAN)


def write_plan(
    path: str, header: Mapping[str, Any], book: ActionBook, results: Sequence[Result] = ()
) -> None:
    """Write a plan file: a line that says what is planned, and a line for each action.

    Raises:
        UnreachableError: it cannot be written.
    """
    head = {
        "format": PLAN_FORMAT,
        "format_version": _VERSION,
        **header,
        "made_at": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "mlporter_version": version("mlporter"),
        "found": [_found(result) for result in results],
        "digest": book.digest,
    }
    first = json.dumps(head, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    write_named_file(Path(path), chain([first], book.lines()))


def _found(result: Result) -> dict[str, Any]:
    """What people want to know of a plan beside its actions; never much, as it is one line."""
    files = result.files
    unexpected = (entry for entry in result.left_out.first if not entry.expected)
    return {
        "files": files.files - files.already_there,
        "bytes": files.bytes,
        "artifacts": files.mode,
        "left_out": result.left_out.unexpected,
        "first_left_out": _beginning_of(map(str, unexpected)),
        "conflicts": len(result.conflicts),
        "first_conflicts": _beginning_of(map(str, result.conflicts)),
        "misfits": len(result.misfits),
        "first_misfits": _beginning_of(result.misfits),
        "unreadable": len(result.unreadable),
        "first_unreadable": _beginning_of(result.unreadable),
        "notes": _beginning_of(result.notes),
        "exit_code": int(result.exit_code),
    }


def _beginning_of(lines: Iterable[str]) -> list[str]:
    return [line[:_LONGEST] for line in islice(lines, _BEGINNING)]


def is_plan(path: str) -> bool:
    """Whether a file begins as a plan file does."""
    try:
        with Path(path).open("rb") as file:
            return f'"{PLAN_FORMAT}"'.encode() in file.read(100)
    except OSError:
        return False


def read_plan(path: str) -> PlanFile:
    """What is planned in a plan file.

    Raises:
        UsageError: it is no plan file, or not as it was written.
        RefusedError: of a version that this release does not read.
        UnreachableError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = _head(file.readline(_LONGEST_HEAD), path)
            return _with_actions(PlanFile(path, head), file)
    except OSError as error:
        raise UnreachableError(f"cannot read: {error.strerror or error}", subject=path) from error


def _head(line: bytes, path: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("format") != PLAN_FORMAT:
        raise UsageError(
            "is no plan", subject=path, hint="--plan-out of run, copy or promote, say, writes one"
        )
    if head.get("format_version") != _VERSION:
        raise RefusedError(
            f"is a plan of format version {head.get('format_version')}",
            subject=path,
            hint="make a new one with this release",
        )
    return head


def _with_actions(plan: PlanFile, lines: Iterable[bytes]) -> PlanFile:
    """The plan with its actions counted, and the first of each kind.

    Raises:
        UsageError: they are not those of the first line: what people look at is what is done.
    """
    counts: Counter[tuple[str, ActionKind]] = Counter()
    of_kind: Counter[ActionKind] = Counter()
    first, total = [], 0
    try:
        for line in lines:
            action = Action.from_dict(json.loads(line))
            total += sum_of(line.rstrip(b"\n"))
            counts[action.unit, action.kind] += 1
            of_kind[action.kind] += 1
            if of_kind[action.kind] <= NAMED:
                first.append(action)
        is_whole = f"{total % (1 << 256):064x}" == plan.head["digest"]
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise UsageError(
            "is not as it was written: it was cut or edited",
            subject=plan.path,
            hint="make a new plan",
        )
    return PlanFile(plan.path, plan.head, counts, tuple(first))


def check_expected(expected: Expected | None, book: ActionBook) -> None:
    """Refuse what a plan file does not say.

    Raises:
        RefusedError: the actions are others; the first that only one of them has are named.
    """
    if expected is None or expected.digest == book.digest:
        return
    with Path(expected.path).open("rb") as file:
        next(file, None)  # what is planned
        planned = Counter(map(_digest, file))
        would_be = Counter(map(_digest, book.lines()))
        added = tuple(_beginning("now", book.lines(), would_be - planned))
        file.seek(0)
        next(file, None)
        gone = tuple(_beginning("no more", file, planned - would_be))
    raise RefusedError(
        "the source or the target changed since the plan was made",
        subject=expected.path,
        hint="look at a new plan: the same command with --plan-out",
        reasons=(*added, *gone),
    )


def _digest(line: bytes) -> bytes:
    return sha256(line.rstrip(b"\n")).digest()


def _beginning(word: str, lines: Iterable[bytes], wanted: Counter[bytes]) -> Iterator[str]:
    """The first of some actions, in words."""
    some = (json.loads(line) for line in lines if wanted[_digest(line)] > 0)
    for action in islice(some, _SHOWN):
        yield f"{word}: {action['action']} {Action.from_dict(action)}"
