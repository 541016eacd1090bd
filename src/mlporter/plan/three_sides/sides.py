"""Three sides of one value: the source's, the target's, and what was last sent. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "ABSENT",
    "Digest",
    "Outcome",
    "Side",
    "State",
    "Wish",
    "decide",
    "said_over",
    "state_of",
]

Digest = int
"""Of a value of a column, or of a row that is there; see `three_sides.sent.digests`."""

ABSENT: Final[Digest] = 0
"""The digest of what is not there."""


class State(Enum):
    """How the sides of a value are to each other."""

    SAME = "the same"
    SOURCE_CHANGED = "changed at the source"
    TARGET_EDITED = "edited at the target"
    BOTH_CHANGED = "changed at the source, and edited at the target"
    UNKNOWN = "different, and it is not known which side changed"


def state_of(source: Digest, target: Digest, base: Digest | None) -> State:
    """How the sides are to each other.

    Args:
        source: The source's; `ABSENT` if it has none.
        target: The target's, likewise.
        base: What was last sent, likewise; None where nothing is remembered.
    """
    if source == target:
        return State.SAME
    if base is None:
        return State.UNKNOWN
    if base == target:
        return State.SOURCE_CHANGED
    return State.TARGET_EDITED if base == source else State.BOTH_CHANGED


class Outcome(Enum):
    """What is done about a difference."""

    SEND = "send"
    """The target gets the source's."""
    KEEP = "keep"
    """The target's stays, and that is reported."""
    CONFLICT = "conflict"
    """Nobody but people can decide: the target's stays, or all is refused."""


Side = Literal["conflict", "ours", "theirs"]


@dataclass(frozen=True)
class Wish:
    """What a verb wants done about what differs.

    Attributes:
        updates: Send what changed at the source.
        edits: What was edited at the target only: a conflict, put back (ours), or kept (theirs).
        both: What changed on both sides, likewise.
        unknown: What differs and nothing is remembered of: a conflict, sent (ours) unless the
            target's is newer, or kept (theirs) and remembered as edited there from now on.
        force: Also then; and over what was edited at the target.
        deletes: Delete what the source has no more.
        puts_back: Make things again that were sent, and that somebody removed at the target.
    """

    updates: bool = False
    edits: Side = "conflict"
    both: Side = "conflict"
    unknown: Side = "conflict"
    force: bool = False
    deletes: bool = False
    puts_back: bool = False


_SIDES = {"conflict": Outcome.CONFLICT, "ours": Outcome.SEND, "theirs": Outcome.KEEP}


def decide(state: State, wish: Wish, *, is_newer: bool = False) -> Outcome:
    """What is done about a difference (not of the state `SAME`).

    Args:
        state: How the sides are to each other.
        wish: What is asked for.
        is_newer: Whether the target's was changed later than the source's, as far as both say it.
    """
    if state is State.TARGET_EDITED:
        return Outcome.SEND if wish.force else _SIDES[wish.edits]
    if state is State.BOTH_CHANGED:
        return Outcome.SEND if wish.force else _SIDES[wish.both]
    if state is State.UNKNOWN:
        if wish.unknown == "theirs":
            return Outcome.KEEP
        sends = wish.force or (wish.unknown == "ours" and not is_newer)
        return Outcome.SEND if sends else Outcome.CONFLICT
    return Outcome.SEND if wish.updates else Outcome.CONFLICT


def said_over(states: Collection[State]) -> str:
    """What is said of values that the source's come over: that somebody may have made them."""
    return "; ".join(sorted(state.value for state in set(states) - {State.SOURCE_CHANGED}))
