"""Numbers in sentences, the same wherever they are read."""

from __future__ import annotations

__all__ = ["plural"]


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """A counted noun, its digits in groups of three: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
