"""A command as a user would type it: what a dry run ends with."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["command_line"]


def command_line(
    verb: str, places: Iterable[str], options: Iterable[tuple[str, str | bool]], rest: str = ""
) -> str:
    """Put a command together, quoted for a shell, with no password in it.

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
