"""A listing as a whole: what a place streams, in two lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlporter.artifacts.listing import FoundFile, Problem

if TYPE_CHECKING:
    from mlporter.artifacts.places import Place


class Listed(NamedTuple):
    """Files in their order, and what could not be listed."""

    files: list[FoundFile]
    problems: list[Problem]


def listed(place: Place) -> Listed:
    """All that a place lists."""
    found = list(place.list())
    files = [item for item in found if isinstance(item, FoundFile)]
    return Listed(files, [item for item in found if isinstance(item, Problem)])
