"""Names of one sorted stream that another one lacks: nothing but these is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["lacking"]


def lacking(names: Iterable[str], keys: Iterable[str]) -> set[str]:
    """Those of some names that are no keys.

    Args:
        names: Sorted by their UTF-8 bytes, as Python sorts texts.
        keys: Likewise.
    """
    others = iter(keys)
    key = next(others, None)
    found = set()
    for name in names:
        while key is not None and key < name:
            key = next(others, None)
        if key != name:
            found.add(name)
    return found
