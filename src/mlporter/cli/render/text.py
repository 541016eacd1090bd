"""Words and numbers as people read them. Pure functions; no terminal is needed."""

from __future__ import annotations

from rich.cells import cell_len

from mlporter.wording import human_bytes, iso_time, plural, visible

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
_LEAST_CUT = 3


def human_count(number: int) -> str:
    """Digits in groups of three: ``1,234,567``."""
    return f"{number:,}"


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
