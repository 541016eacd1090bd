"""Words and numbers as people read them. Pure functions; no terminal is needed."""

from __future__ import annotations

from mlporter.wording import human_bytes, plural, visible

__all__ = [
    "human_bytes",
    "human_count",
    "human_seconds",
    "plural",
    "visible",
    "words",
]

_MINUTE = 60
_HOUR = 3600


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
