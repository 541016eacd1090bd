"""JSON in which some strings are changed, and nothing else is: not a space, not an escape."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Path", "endpoints_in", "with_endpoints", "with_strings"]

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


_GATEWAY = "gateway:/"
_FIELD = "model"


def with_endpoints(text: str, endpoints: Mapping[str, str]) -> str:
    """A scorer that names its endpoints otherwise; as it was where it names none of `endpoints`.

    Args:
        text: JSON; anything else comes back as it is.
        endpoints: What stands for what.
    """
    if not endpoints or _GATEWAY not in text:
        return text

    def change(path: Path, value: str) -> str:
        return _named(value, endpoints) if path[-1:] == (_FIELD,) else value

    return with_strings(text, change)


def endpoints_in(text: str) -> Iterator[str]:
    """The endpoints that a scorer names; none in anything but JSON."""
    if _GATEWAY not in text:
        return
    try:
        waiting = [json.loads(text)]
    except ValueError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            model = value.get(_FIELD)
            if isinstance(model, str) and model.startswith(_GATEWAY):
                yield model.removeprefix(_GATEWAY)


def _named(model: str, endpoints: Mapping[str, str]) -> str:
    if not model.startswith(_GATEWAY):
        return model
    name = model.removeprefix(_GATEWAY)
    return _GATEWAY + endpoints.get(name, name)
