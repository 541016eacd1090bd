"""What was asked for and is not there, with what may have been meant."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mlporter.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["Missing", "is_named", "nearest"]

_SHOWN = 3
_KNOWN = 8
_CUTOFF = 0.5
_COMPARED = 20_000
"""Comparing names takes a while: of more than that many, the first."""


def is_named(name: str, pattern: str) -> bool:
    """Whether a name is meant by a pattern: itself, or a glob that it matches, by case."""
    return name == pattern or fnmatchcase(name, pattern)


class Missing:
    """Collects what is not there; all of it is said at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, what: str, near: Iterable[str] = (), *, there: Collection[str] = ()) -> None:
        """One thing that is not there, and what may have been meant, or else what there is."""
        named = ", ".join(near)
        known = ", ".join(sorted(there)[:_KNOWN]) + (", …" if len(there) > _KNOWN else "")
        hint = f"; did you mean {named}?" if named else f"; there is {known}" if known else ""
        self.lines.append(f"{what}{hint}")

    def refuse(self, subject: str) -> None:
        """Raise if anything is missing.

        Raises:
            RefusedError: naming all of it.
        """
        if self.lines:
            raise RefusedError(
                "does not have what was asked for",
                subject=subject,
                hint="`mlporter inspect` and `mlporter show` say what is there",
                reasons=tuple(self.lines),
            )


def nearest(name: str, names: Collection[str]) -> list[str]:
    """Names that are like one, the likest first; letters' case does not count."""
    lowered: dict[str, str] = {}
    for known in sorted(names)[:_COMPARED]:
        lowered.setdefault(known.lower(), known)
    near = get_close_matches(name.strip("*").lower(), lowered, n=_SHOWN, cutoff=_CUTOFF)
    return [lowered[text] for text in near]
