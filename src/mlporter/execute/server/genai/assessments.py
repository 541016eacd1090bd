"""Which assessments go to a server together with their trace, and which after it.

MLflow takes any assessments with a trace, and calls all of them valid. One becomes invalid when
another one is made that overrides it, by a request of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Sending", "sending"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Sending:
    """What is sent.

    Attributes:
        along: With the trace.
        after: Each by itself, in this order: what is overridden is there before.
        unclear: Ids of those among them that are invalid, and nothing says by what.
    """

    along: tuple[Row, ...] = ()
    after: tuple[Row, ...] = ()
    unclear: frozenset[str] = frozenset()


def sending(rows: Iterable[Row], wanted: Iterable[str]) -> Sending:
    """Decide how to send some assessments of a trace.

    What is sent anew is valid again: one that overrides it is sent once more, too.

    Args:
        rows: All assessments of the trace.
        wanted: Ids of those that the server lacks, or has otherwise.
    """
    by_id = {row["assessment_id"]: row for row in rows}
    overriding: dict[str, list[str]] = {}
    for id_, row in sorted(by_id.items()):
        if _is_invalid(by_id, row["overrides"]):
            overriding.setdefault(row["overrides"], []).append(id_)
    chosen = {id_ for id_ in wanted if id_ in by_id}
    waiting = sorted(chosen)
    while waiting:
        over = overriding.get(waiting.pop(), [])
        if over and chosen.isdisjoint(over):
            chosen.add(over[0])
            waiting.append(over[0])
    depths = {id_: _depth(by_id, id_) for id_ in sorted(chosen)}
    ordered = sorted(chosen, key=lambda id_: (depths[id_], id_))
    return Sending(
        tuple(by_id[id_] for id_ in ordered if not depths[id_]),
        tuple(by_id[id_] for id_ in ordered if depths[id_]),
        frozenset(id_ for id_ in chosen if _is_invalid(by_id, id_) and id_ not in overriding),
    )


def _is_invalid(by_id: Mapping[str, Row], id_: str | None) -> bool:
    return id_ is not None and id_ in by_id and by_id[id_]["valid"] is False


def _depth(by_id: Mapping[str, Row], id_: str) -> int:
    """How many invalid ones an assessment depends on."""
    seen = {id_}
    while _is_invalid(by_id, below := by_id[id_]["overrides"]) and below not in seen:
        seen.add(below)
        id_ = below
    return len(seen) - 1
