"""JSON in which some strings are changed, and nothing else is: not a space, not an escape."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Path", "with_strings"]

Path = tuple[str, ...]
"""The keys that lead to a string; lists are passed through."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


def with_strings(text: str, change: Callable[[Path, str], str]) -> str:
    """A document with other strings as values.

    Args:
        text: JSON; anything else comes back as it is.
        change: What a string is to be, by where it is; itself, if it stays.
    """
    try:
        json.loads(text)
    except ValueError:
        return text
    parts: list[str] = []
    done = 0
    for start, end, path in _values(text):
        old = json.loads(text[start:end])
        new = change(path, old)
        if new != old:
            parts += [text[done:start], json.dumps(new, ensure_ascii=text.isascii())]
            done = end
    return "".join([*parts, text[done:]]) if parts else text


def _values(text: str) -> list[tuple[int, int, Path]]:
    """Where the strings are that are values, and the keys that lead to each."""
    found: list[tuple[int, int, Path]] = []
    keys: list[str | None] = []  # of each object that is open the key it is at; None for a list
    is_key = False
    for token in _TOKEN.finditer(text):
        sign = token[0][0]
        if sign in "{[":
            keys.append("" if sign == "{" else None)
            is_key = sign == "{"
        elif sign in "}]":
            keys.pop()
            is_key = False
        elif sign == ",":
            is_key = keys[-1] is not None
        elif sign == ":":
            is_key = False
        elif is_key:
            keys[-1] = json.loads(token[0])
        else:
            found.append((*token.span(), tuple(key for key in keys if key is not None)))
    return found
