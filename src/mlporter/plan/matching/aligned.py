"""Two registries whose experiments have other ids: compared by workspace and name all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.matching.counterparts import counterparts, has_source_tags
from mlporter.plan.matching.users import with_followed_permissions
from mlporter.plan.side_reader import experiments_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.plan.side_reader import Experiment
    from mlporter.stores.protocols import Source

__all__ = ["aligned", "same_experiments"]


def aligned(left: Source, right: Source) -> tuple[Source, list[str]]:
    """The left source, with what it has under the ids that the right one gives it.

    These are experiments of the same name, and what one of the two is a copy of on a server.

    Returns:
        The source to compare, and sentences on the ids that were looked through.
    """
    numbers = same_experiments(experiments_of(left), experiments_of(right))
    ids = (
        counterparts(left, right, numbers)
        if has_source_tags(left) or has_source_tags(right)
        else {}
    )
    said = []
    if ids:
        counts = ", ".join(f"{len(changed)} {table}" for table, changed in ids.items())
        said.append(f"Ids that a server gave to copies: {counts}.")
    if numbers:
        said.append(_numbers(numbers))
    if not said:
        return left, []
    changed = IdMap(experiments=numbers, ids=ids)
    return with_followed_permissions(MappedSource(left, changed), left, changed), said


def _numbers(numbers: dict[int, int]) -> str:
    pairs = ", ".join(f"{old} is {new}" for old, new in sorted(numbers.items())[:5])
    more = f", and {len(numbers) - 5} more" if len(numbers) > 5 else ""  # noqa: PLR2004
    return f"Ids of experiments of the same name: in B {pairs}{more}."


def same_experiments(left: Iterable[Experiment], right: Iterable[Experiment]) -> dict[int, int]:
    """The right side's id of each experiment of the left that has another one there.

    One whose own id would then be taken twice gets a free one.
    """
    mine = list(left)
    there = {(e.workspace, e.name): e.number for e in right}
    numbers = {
        e.number: there[e.workspace, e.name]
        for e in mine
        if there.get((e.workspace, e.name), e.number) != e.number
    }
    taken = set(numbers.values())
    free = max([0, *taken, *there.values(), *(e.number for e in mine)]) + 1
    for one in mine:
        if (
            one.number in taken
            and one.number not in numbers
            and ((one.workspace, one.name) not in there)
        ):
            numbers[one.number], free = free, free + 1
    return numbers
