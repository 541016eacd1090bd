"""Fields that this release does not know, put into a request that is shaped as the answer is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS
from mlporter.stores.server.reading.unknown_fields import elements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.stores.rest.client import Json

__all__ = ["is_placeable", "place"]

_STEP = re.compile(r"(?P<name>\w+)(?:\[(?P<called>[^\[\]]*)\])?(?:\.(?!$)|$)")
_SENT_AGAIN = {"trace_info": "", "runs": "inputs."}
"""By table: how paths begin that are in a request which may be sent once more, changing nothing."""


class _Step(NamedTuple):
    name: str
    called: str | None


def is_placeable(table: str, path: str) -> bool:
    """Whether a request that is sent once more holds a field of an object."""
    begins = _SENT_AGAIN.get(table)
    return begins is not None and path.startswith(begins) and bool(_steps(table, path))


def place(view: Json, table: str, fields: Mapping[str, Any]) -> None:
    """Put fields where an answer has them; those for which there is no place are left out.

    Args:
        view: The request, or the parts of it that are in an answer, under the names they have
            there. What it says already stays.
        table: What it is about.
        fields: Values by path.
    """
    for path, value in fields.items():
        steps = _steps(table, path)
        holder = _holder(view, table, steps) if steps else None
        if holder is not None:
            holder.setdefault(steps[-1].name, value)


def _holder(view: Json, table: str, steps: list[_Step]) -> Json | None:
    found: object = view
    known = ANSWER_FIELDS[table]
    for name, called in steps[:-1]:
        found = found.get(name) if isinstance(found, dict) else None
        known = known.inside[name]
        if called is not None:
            found = dict(elements(found, known)).get(called) if isinstance(found, list) else None
    return found if isinstance(found, dict) else None


def _steps(table: str, path: str) -> list[_Step]:
    """The way to a field; none, if it does not lead past what is known to what is not.

    A bundle may come from anybody: what MLflow knows by that name is not sent in its place.
    """
    steps, at = [], 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return []
        steps.append(_Step(found["name"], found["called"]))
        at = found.end()
    known = ANSWER_FIELDS.get(table)
    for name, _ in steps[:-1]:
        known = known.inside.get(name) if known is not None else None
    is_new = known is not None and bool(steps) and steps[-1].called is None
    return steps if known is not None and is_new and steps[-1].name not in known.names else []
