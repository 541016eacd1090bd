"""What a promotion would do, as actions of a plan file: gates, the version, and what moves."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from mlporter.catalogue.source_tags import OURS
from mlporter.plan.three_sides.actions import Action, ActionKind, Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.plan.three_sides.actions import ActionBook
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.promotion.checks.gates import GateResult
    from mlporter.promotion.promoted_source import Move
    from mlporter.promotion.target.target_model import Pointers

__all__ = ["note_checks", "note_finished", "note_moves", "take_over"]

_VERSIONS = "model_versions"
_ALIASES = "registered_model_aliases"


def note_checks(book: ActionBook, gates: Mapping[VersionKey, Sequence[GateResult]]) -> None:
    """Note the gates of each version of the source, with what was wanted and found."""
    for key, found in gates.items():
        for gate in found:
            change = Change(gate.gate, gate.wanted, gate.found)
            book.add(Action(ActionKind.CHECK, _VERSIONS, _name(key), (change,)))


def note_finished(book: ActionBook, keys: Iterable[VersionKey]) -> None:
    """Note versions of the target that were promoted before."""
    for key in keys:
        book.add(Action(ActionKind.KEEP, _VERSIONS, _name(key), why="it was promoted before"))


def take_over(book: ActionBook, carried: ActionBook, moves: Sequence[Move]) -> None:
    """Note what is copied; the versions themselves are noted by `note_moves`.

    What only the target has is the business of nobody who promotes one version.
    """
    own = {_name(move.key) for move in moves}
    for line in carried.lines():
        action = Action.from_dict(json.loads(line))
        is_own = action.unit == _VERSIONS and action.kind is ActionKind.CREATE and action.id in own
        if not is_own and action.kind is not ActionKind.KEEP:
            book.add(action)


def note_moves(
    book: ActionBook,
    moves: Sequence[tuple[Move, Pointers]],
    holders: Mapping[str, VersionFacts | None],
) -> None:
    """Note the versions, and where stages and aliases move.

    Args:
        book: Where to.
        moves: Each version, with what moves to it.
        holders: By alias the version that it names now.
    """
    for move, pointers in moves:
        book.add(Action(ActionKind.CREATE, _VERSIONS, _name(move.key), tuple(_version(move))))
        for number, (before, after) in pointers.stages.items():
            key = (pointers.workspace, pointers.name, number)
            change = Change("current_stage", before, after)
            book.add(Action(ActionKind.MOVE, _VERSIONS, _name(key), (change,)))
        for alias, (former, holds) in pointers.aliases.items():
            kind = ActionKind.CREATE if former is None else ActionKind.MOVE
            changes = (
                Change("version", former, holds),
                *_compared(holders.get(alias), move.facts),
            )
            name = f"{pointers.workspace}/{pointers.name}/{alias}"
            book.add(Action(kind, _ALIASES, name, changes))


def _name(key: VersionKey) -> str:
    return "/".join(map(str, key))


def _version(move: Move) -> Iterator[Change]:
    """What the version will be: so a reader can judge it, and a change of it is noticed."""
    facts = move.facts
    said = facts.row["description"] if move.description is None else move.description
    tags = {**facts.tags, **move.tags}
    plain = {
        "source": f"models:/{facts}",
        "run": facts.run_id,
        "description": said or None,
        **{f"tags.{key}": tags[key] for key in sorted(tags) if not key.startswith(OURS)},
        **{f"metrics.{key}": facts.metrics[key] for key in sorted(facts.metrics)},
        **{f"params.{key}": facts.params[key] for key in sorted(facts.params)},
        "flavors": ", ".join(facts.flavors) or None,
        "files": len(facts.files),
        "bytes": facts.size,
        "listing": _listing(facts),
    }
    for name, value in plain.items():
        if value is not None:
            yield Change(name, None, value)


def _listing(facts: VersionFacts) -> str:
    """The same for files of the same names and sizes, whose MLmodel says the same."""
    files = sorted((one.path, one.size) for one in facts.files)
    said = json.dumps([files, facts.mlmodel], sort_keys=True, default=str)
    return sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _compared(before: VersionFacts | None, after: VersionFacts) -> Iterator[Change]:
    """How metrics and parameters of the version differ from those of the one before it."""
    if before is None:
        return
    for word, mine, theirs in (
        ("metrics", after.metrics, before.metrics),
        ("params", after.params, before.params),
    ):
        for name in sorted({*mine, *theirs}):
            old, new = theirs.get(name), mine.get(name)
            if old != new:
                yield Change(f"{word}.{name}", old, new)
