"""Words and numbers as people read them. Pure functions; no terminal is needed."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

from mlporter.wording import iso_time, plural

__all__ = [
    "cut_middle",
    "human_bytes",
    "human_count",
    "human_seconds",
    "iso_time",
    "plural",
    "visible",
    "words",
]

_MINUTE = 60
_HOUR = 3600
_KILO = 1000
_LEAST_CUT = 3


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


def human_count(number: int) -> str:
    """Digits in groups of three: ``1,234,567``."""
    return f"{number:,}"


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


def human_seconds(seconds: float) -> str:
    """A duration: ``0.4 s``, ``2 min 05 s``, ``3 h 20 min``."""
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR - 0.5:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02} min"


def words(name: str) -> str:
    """A table's name as people say it: ``model_versions`` is ``model versions``."""
    return name.replace("_", " ")


def cut_middle(text: str, width: int) -> str:
    """A text that is too long, without its middle: beginnings and ends tell names apart.

    >>> cut_middle("fraud-detector-v2-final", 12)
    'fraud-…final'
    """
    if cell_len(text) <= width:
        return text
    if width < _LEAST_CUT:
        return "…"[:width]
    end = (width - 1) // 2
    return f"{_first(text, width - 1 - end)}…{_first(text[::-1], end)[::-1]}"


def _first(text: str, width: int) -> str:
    """As much of a text as fits; some letters take two columns."""
    end = 0
    for character in text:
        width -= cell_len(character)
        if width < 0:
            break
        end += 1
    return text[:end]
