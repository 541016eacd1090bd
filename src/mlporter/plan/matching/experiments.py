"""Experiments matched, whatever the target: by name, and renamed ones by what they are known by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from mlporter.plan.matching.names import (
    free_name,
    match_experiments,
    refuse_twice,
    try_names,
)
from mlporter.plan.policy import Conflict, Renamed
from mlporter.plan.three_sides.actions import NOT_KNOWN, Action, ActionKind, Change
from mlporter.plan.three_sides.sides import Outcome, decide, state_of
from mlporter.plan.units import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from mlporter.plan.matching.names import Match
    from mlporter.plan.policy import Policy
    from mlporter.plan.side_reader import Experiment
    from mlporter.plan.three_sides.sent.base import Base

__all__ = ["Experiments", "NameChoice", "by_number", "by_tag"]

_Why = TypeVar("_Why")
_TAKEN = "the target has a different one of that name"

Known = dict[int, str]
"""What the target calls experiments (the source's ids) that it has under another name."""


@dataclass(frozen=True)
class NameChoice:
    """What becomes of the name of an experiment that the target calls otherwise."""

    match: Match
    there: str
    wanted: str
    outcome: Outcome
    sent: object
    why: str = ""

    def action(self, id_: str) -> Action:
        """As the plan says it."""
        kinds = {Outcome.SEND: ActionKind.MOVE, Outcome.KEEP: ActionKind.KEEP}
        kind = kinds.get(self.outcome, ActionKind.CONFLICT)
        return Action(
            kind, EXPERIMENTS, id_, (Change("name", self.there, self.wanted, self.sent),), self.why
        )

    def conflict(self) -> Conflict | None:
        """Why nobody but people can decide, if so."""
        if self.outcome is not Outcome.CONFLICT:
            return None
        said = f"it is called {self.there!r} in the target: {self.why}"
        return Conflict(EXPERIMENTS, self.wanted, said)


@dataclass
class Experiments:
    """Experiments of both sides, and which is which.

    Attributes:
        mine: Those of the source.
        there: Those of the target.
        policy: What is asked for.
        workspaces: The target's workspaces by the source's, where they are others.
        largest: The largest id that the target can hold.
        wanted: The name that each is to have, by the source's ids.
        names_there: What the target calls those that it has under another name.
        matches: Where each goes.
        new_names: Names that are not the source's.
    """

    mine: list[Experiment]
    there: list[Experiment]
    policy: Policy
    workspaces: Mapping[str, str]
    largest: int
    wanted: dict[int, str] = field(init=False)
    names_there: Known = field(default_factory=dict)
    matches: dict[int, Match] = field(default_factory=dict)
    new_names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Names are asked for, or the source's own."""
        asked = ((one.number, self.policy.experiment_name(one.name)) for one in self.mine)
        self.new_names = {number: name for number, name in asked if name is not None}
        own = {one.number: one.name for one in self.mine}
        self.wanted = own | self.new_names

    def know(self, found: Known) -> None:
        """Take some for those that the target calls otherwise.

        Where another name is asked for, and nothing is to follow, a copy of that name is meant.
        """
        if not self.policy.updates:
            found = {n: name for n, name in found.items() if n not in self.new_names}
        self.names_there |= found
        self.new_names |= found

    def match(self, reasons: Callable[[], Mapping[int, _Why]]) -> Mapping[int, _Why]:
        """Match by name; those in conflict go under another one, if the policy says so.

        Args:
            reasons: Why some cannot be put into those that they are matched with.

        Returns:
            The same, of the last names that were tried.

        Raises:
            RefusedError: two would have one name.
        """
        taken = {one.name for one in self.mine}
        names = self.new_names
        trials = {n: free_name(names.get(n, name), taken) for n, name in self.wanted.items()}

        def look() -> Mapping[int, _Why]:
            found = match_experiments(self.mine, self.there, names, self.workspaces, self.largest)
            self.matches = {match.source.number: match for match in found}
            return reasons()

        def rename(number: int) -> None:
            names[number] = next(trials[number])

        conflicts = try_names(look, rename if self.policy.on_conflict == "rename" else None)
        refuse_twice("experiments", ((m.workspace, m.name) for m in self.matches.values()))
        return conflicts

    def renamed(self, carried: Collection[int]) -> list[Renamed]:
        """Those of some (the source's ids) that go under another name, and are not to follow."""
        return [
            Renamed("experiment", match.source.name, match.name)
            for number, match in self.matches.items()
            if number in carried
            and match.name != match.source.name
            and (number not in self.names_there or not self.policy.updates)
        ]

    # --- Those that the target calls otherwise ----------------------------------------------------

    def choose_names(self, base: Base) -> list[NameChoice]:
        """Who renamed those that have another name in the target, and what is done about it."""
        if self.policy.on_conflict == "rename":
            return []  # under another name is what was asked for
        sent, found = base.noted("experiment_names"), []
        for number, there in self.names_there.items():
            match = self.matches.get(number)
            if match is None or match.there is None or match.name != there:
                continue
            name, last = self.wanted[number], sent.get(str(number))
            state = state_of(hash(name), hash(there), None if last is None else hash(last))
            outcome = decide(state, self.policy.wish)
            why = "" if outcome is Outcome.SEND else state.value
            found.append(
                NameChoice(match, there, name, outcome, NOT_KNOWN if last is None else last, why)
            )
        while taken := self._taken(found):
            found = [
                replace(one, outcome=Outcome.CONFLICT, why=_TAKEN) if one in taken else one
                for one in found
            ]
        return found

    def _taken(self, choices: list[NameChoice]) -> list[NameChoice]:
        """Those whose new name another experiment of the target has, and keeps."""
        sent = [one for one in choices if one.outcome is Outcome.SEND]
        free = {one.match.number for one in sent}
        held = {(one.workspace, one.name) for one in self.there if one.number not in free}
        held |= {(m.workspace, m.name) for m in self.matches.values() if m.there is None}
        return [one for one in sent if (one.match.workspace, one.wanted) in held]

    def renaming(self, choices: list[NameChoice]) -> list[tuple[int, str]]:
        """New names by the target's ids, in this order: two may have exchanged theirs.

        They go out of each other's way first, under names that nobody has.
        """
        held = {(one.workspace, one.name) for one in self.there}
        first, then = [], []
        for one in choices:
            if one.outcome is not Outcome.SEND:
                continue
            number, name = one.match.number, one.wanted
            if (one.match.workspace, name) in held:
                first.append((number, f"{name} (renamed by mlporter, {number})"))
            then.append((number, name))
        return first + then

    def noted(
        self, base: Base, done: Collection[int], without: Collection[int] = ()
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Numbers and names, as they are remembered: by the source's numbers.

        Args:
            base: What was remembered before.
            done: Those (the target's numbers) that got the name that they are to have.
            without: Those (the source's numbers) that the target does not have.
        """
        sent = base.noted("experiment_names")
        present = {n: match for n, match in self.matches.items() if n not in without}
        names = {
            str(n): self.wanted[n]
            if n not in self.names_there or match.number in done
            else sent.get(str(n), self.wanted[n])
            for n, match in present.items()
        }
        return {str(n): str(match.number) for n, match in present.items()}, names


def by_number(experiments: Experiments, numbers: Mapping[str, str]) -> Known:
    """Those that were sent, by the target's numbers that they were sent under (`By.SENT`)."""
    names = {(one.number, one.workspace): one.name for one in experiments.there}
    found = {}
    for one in experiments.mine:
        number = numbers.get(str(one.number))
        workspace = experiments.workspaces.get(one.workspace, one.workspace)
        name = names.get((int(number), workspace)) if number is not None else None
        if name is not None and name != experiments.wanted[one.number]:
            found[one.number] = name
    return found


def by_tag(
    experiments: Experiments,
    marked: Mapping[int, str],
    origin: Mapping[int, str],
    has_run: Callable[[Experiment, Experiment], bool],
) -> Known:
    """Those whose copies have their number as a tag (`By.TAG`).

    Args:
        experiments: Both sides.
        marked: The number that each copy says it is a copy of, by the target's ids.
        origin: The same of the source's, which may be copies themselves.
        has_run: Whether a run of the source's experiment has its copy in the target's: another
            source has the same numbers.
    """
    copies: dict[tuple[str, str], list[Experiment]] = {}
    for one in experiments.there:
        if one.number in marked:
            copies.setdefault((one.workspace, marked[one.number]), []).append(one)
    found = {}
    for one in experiments.mine:
        workspace = experiments.workspaces.get(one.workspace, one.workspace)
        some = copies.get((workspace, origin.get(one.number, str(one.number))), [])
        if any(copy.name == experiments.wanted[one.number] for copy in some):
            continue
        copy = next((copy for copy in some if has_run(one, copy)), None)
        if copy is not None:
            found[one.number] = copy.name
    return found
