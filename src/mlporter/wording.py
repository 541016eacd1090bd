"""Numbers in sentences, texts made visible, commands to type: the same wherever they are read."""

from __future__ import annotations

import unicodedata
from shlex import quote
from typing import TYPE_CHECKING

from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEWER", "command_line", "human_bytes", "plural", "visible"]

NEWER = "newer than this release knows"
"""What is said of a later MLflow than the catalogue's, installed or a server's."""
_KILO = 1000


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """A counted noun, its digits in groups of three: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


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


def human_bytes(number: float) -> str:
    """Bytes in powers of 1000, three digits at most: ``0 B``, ``12.3 kB``, ``1.2 GB``."""
    if number < _KILO:
        return f"{number:.0f} B"
    unit = ""
    for unit in ("kB", "MB", "GB", "TB", "PB"):  # noqa: B007 -- the last one is used
        number /= _KILO
        if round(number, 1) < _KILO:
            break
    return f"{number:.1f} {unit}"


def visible(text: str) -> str:
    r"""Show control characters as escapes, so that no value can steer a terminal or break a line.

    >>> visible("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c == " " or _harmless(c) else _escape(c) for c in text)


def _harmless(character: str) -> bool:
    # Joiners and variation selectors (Cf and Mn) belong to emoji and to many scripts; what turns
    # the direction of text (U+202A to U+202E, U+2066 to U+2069) can make it read as other text.
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return False
    return unicodedata.category(character) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
