"""What a planner is given besides two registries: what was last sent, and the book of actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.plan.three_sides.actions import ActionBook
from mlporter.plan.three_sides.sent.base import NoBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.stores.protocols import Source

__all__ = ["Memory"]


@dataclass
class Memory:
    """What was last sent, and where actions go.

    Attributes:
        base: What was last sent.
        book: Where actions go.
        snapshot: An earlier snapshot of the source that is to be taken as what was last sent; None
            once that is done.
        whole: The source with all that it has, where only a part of it is copied: what is not in
            the part is not gone.
        count: How many rows of a table the target has.
        subject: The target, for messages.
        lists: Whether everything that is made anew is to be noted one by one, too.
        notes: Sentences for people.
    """

    base: Base = field(default_factory=NoBase)
    book: ActionBook = field(default_factory=ActionBook)
    snapshot: Source | None = None
    whole: Source | None = None
    count: Callable[[str], int] = lambda _: 0
    subject: str = ""
    lists: bool = False
    notes: list[str] = field(default_factory=list)
