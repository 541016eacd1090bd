"""Numbers in sentences, and commands to type: the same wherever they are read."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEWER", "command_line", "plural", "seconds_of"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

NEWER = "newer than this release knows"
"""What is said of a later MLflow than the catalogue's, installed or a server's."""


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """A counted noun, its digits in groups of three: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def seconds_of(text: str) -> float:
    """Seconds, from a number with a unit or without one: ``30s``, ``5m``, ``1h``, ``30d``.

    Raises:
        ValueError: it is no length of time, or none at all.
    """
    text = text.strip().lower()
    unit = _UNITS.get(text[-1:])
    seconds = float(text[:-1] if unit else text) * (unit or 1)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def command_line(
    verb: str, places: Iterable[str], options: Iterable[tuple[str, str | bool]], rest: str = ""
) -> str:
    """A command as a user would type it, quoted for a shell, with no password in it.

    Args:
        verb: Such as ``copy``.
        places: Its arguments.
        options: Names of options with their values; a flag's value is whether it is set, and an
            option whose value is empty was not given.
        rest: Further options, quoted already.

    >>> command_line("copy", ["a.db", "b c"], [("workers", "2"), ("dry-run", False)])
    "mlporter copy a.db 'b c' --workers 2"
    """
    words = ["mlporter", verb, *(quote(redact(place)) for place in places)]
    for name, value in options:
        if value is True:
            words.append(f"--{name}")
        elif value:
            words += [f"--{name}", quote(redact(value))]
    return " ".join([*words, rest] if rest else words)
