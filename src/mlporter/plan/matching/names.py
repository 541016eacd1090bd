"""Experiments, registered models and datasets matched by name: pure functions of two lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mlporter.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlporter.plan.side_reader import Experiment

__all__ = ["Match", "free_name", "is_model_name", "match_experiments", "refuse_twice", "try_names"]

_ROUNDS = 100
"""How many names are tried for a copy."""

_Key = TypeVar("_Key")
_Why = TypeVar("_Why")


@dataclass(frozen=True)
class Match:
    """An experiment of the source, and where it goes.

    Attributes:
        source: As it is in the source.
        workspace: The workspace it goes to.
        name: The name it gets.
        number: The id it gets.
        there: The target's experiment of that name, or None if it is new.
    """

    source: Experiment
    workspace: str
    name: str
    number: int
    there: Experiment | None


def match_experiments(
    source: Iterable[Experiment],
    target: Iterable[Experiment],
    names: Mapping[int, str],
    workspaces: Mapping[str, str],
    largest: int,
) -> list[Match]:
    """Match by workspace and name; new ones keep a free id, and else get the next one.

    Args:
        source: Of the source.
        target: Of the target.
        names: New names, by id in the source.
        workspaces: New workspaces, by name in the source.
        largest: The largest id that the target can hold.
    """
    there = {(e.workspace, e.name): e for e in target}
    taken = {e.number for e in there.values()}
    mine = sorted(source, key=lambda e: e.number)
    found: dict[int, Experiment | None] = {}
    for one in mine:
        workspace = workspaces.get(one.workspace, one.workspace)
        found[one.number] = there.get((workspace, names.get(one.number, one.name)))
    wanted = {n for n, match in found.items() if match is None and n <= largest}
    free = _free_ids(taken | wanted, largest)
    matches = []
    for one in mine:
        match = found[one.number]
        number = match.number if match is not None else one.number
        if match is None and (number in taken or number > largest):
            number = next(free)
        workspace = workspaces.get(one.workspace, one.workspace)
        name = names.get(one.number, one.name)
        matches.append(Match(one, workspace, name, number, match))
    return matches


def _free_ids(taken: set[int], largest: int) -> Iterator[int]:
    """Ids that nobody has: as a server counts them up, or else from below."""
    number = max((n for n in taken if n <= largest), default=0)
    while number < largest:
        number += 1
        yield number
    for number in range(1, largest):
        if number not in taken:
            yield number


def free_name(name: str, taken: Iterable[str], cap: int = 256) -> Iterator[str]:
    """Names for a copy, in the order in which they are tried: always the same for the same name.

    Those that are `taken` by another thing of the source are left out.
    """
    others = frozenset(taken)
    count = 1
    while True:
        ending = "-imported" if count == 1 else f"-imported-{count}"
        candidate = name[: cap - len(ending)] + ending
        if candidate not in others:
            yield candidate
        count += 1


def is_model_name(name: str) -> bool:
    """Whether MLflow takes a name for a registered model (mlflow.utils.validation)."""
    return bool(name.strip()) and not set(name) & {"/", ":"}


def try_names(
    look: Callable[[], Mapping[_Key, _Why]], rename: Callable[[_Key], None] | None
) -> Mapping[_Key, _Why]:
    """Give things other names until none of them is in conflict.

    Args:
        look: What is in conflict, and why, under the names that things have by now.
        rename: Gives one the next name; None where that is not wanted.

    Returns:
        What is in conflict in the end.
    """
    conflicts = look()
    for _ in range(_ROUNDS):
        if not conflicts or rename is None:
            break
        for key in conflicts:
            rename(key)
        conflicts = look()
    return conflicts


def refuse_twice(what: str, keys: Iterable[tuple[str, str]]) -> None:
    """Refuse to put two things into one.

    Raises:
        RefusedError: two would have one workspace and name.
    """
    if again := _twice(keys):
        raise RefusedError(
            f"two {what} would have one name",
            hint="choose other names with --rename",
            reasons=tuple(f"{name!r} in workspace {workspace}" for workspace, name in again),
        )


def _twice(keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keys that come more than once."""
    seen: set[tuple[str, str]] = set()
    again: dict[tuple[str, str], None] = {}
    for key in keys:
        if key in seen:
            again[key] = None
        seen.add(key)
    return list(again)
