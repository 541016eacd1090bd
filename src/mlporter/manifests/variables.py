"""`${NAME}` and `${NAME:-default}` in a manifest; and that no secret stands in one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from mlporter.redaction import has_password, hide_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Filled", "Path", "fill", "mapped", "secrets_in"]

Path: TypeAlias = "tuple[str | int, ...]"
"""Where a value stands: keys and places in lists, from the outside."""

_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}?")
"""``$${``, which is a plain ``${``; or a reference, its brace perhaps forgotten."""

_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class Filled(str):
    """A text from outside the file, of a variable or of ``--set``: it may stand for a number."""

    __slots__ = ()


def mapped(value: object, change: Callable[[Path, str], object], path: Path = ()) -> object:
    """A tree of plain values with every text changed; keys stay as they are."""
    if isinstance(value, dict):
        return {key: mapped(item, change, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change, (*path, at)) for at, item in enumerate(value)]
    return change(path, value) if isinstance(value, str) else value


def fill(text: str, environment: Mapping[str, str]) -> str:
    """A text with its variables' values; `Filled` if it had any.

    As in a shell, a default stands for a variable that is empty, too.

    >>> fill("${HOME_OF_IT:-backups}/new", {}), fill("$${A}", {})
    ('backups/new', '${A}')

    Raises:
        ValueError: a variable is not set, or a reference is none.
    """

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return "${"
        inside = _INSIDE.fullmatch(found[2])
        if inside is None or "${" in found[2] or not found[0].endswith("}"):
            raise ValueError("a reference is ${NAME} or ${NAME:-default}; $${ is a plain ${")
        name, default = inside[1], inside[2]
        there = environment.get(name)
        if default is not None:
            return there or default
        if there is None:
            raise ValueError(f"the variable {name} is not set, and has no default")
        return there

    filled = _REFERENCE.sub(value, text)
    return text if filled == text else Filled(filled)


def secrets_in(tree: object, text: str) -> Iterator[Path | int]:
    """Where a secret stands: the path of a value, or the number of a line, as in a comment."""
    found: list[Path] = []

    def look(path: Path, value: str) -> str:
        if _is_secret(value):
            found.append(path)
        return value

    mapped(tree, look)
    yield from found
    if not found:
        for number, line in enumerate(text.splitlines(), 1):
            if _is_secret(line):
                yield number


def _is_secret(text: str) -> bool:
    """Whether what the file itself says holds one; a variable's value is not in the file."""
    said = _REFERENCE.sub(_default, text)
    return has_password(said) or hide_passwords(said) != said


def _default(found: re.Match[str]) -> str:
    inside = _INSIDE.fullmatch(found[2] or "")
    return (inside[2] or "") if inside else ""
