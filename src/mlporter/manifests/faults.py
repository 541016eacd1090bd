"""What pydantic found wrong with a manifest, in our words: the key, and the nearest valid one."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from mlporter.manifests.fields import SelectionFields
from mlporter.manifests.kinds import KINDS
from mlporter.manifests.variables import Filled
from mlporter.redaction import redact_argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlporter.manifests.kinds import Kind
    from mlporter.manifests.positions import Faults

__all__ = ["add_pydantic", "keys_of", "nearest"]

_QUOTED = re.compile(r"'([^']*)'")
_TEXT = "expected text"
_SAID: Mapping[str, str] = {
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "tuple_type": "expected a text or a list of texts",
    "model_type": "expected keys and values below it",
    "model_attributes_type": "expected keys and values below it",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "missing": "is missing",
    "string_pattern_mismatch": "expected two texts with = between them, such as OLD=NEW",
}


def nearest(word: str, valid: Iterable[str]) -> str:
    """The valid word that is most like another, as a clause; or all of them."""
    words = list(valid)
    near = get_close_matches(word, words, n=1, cutoff=0.5)
    return f"the nearest is {near[0]!r}" if near else f"there are: {', '.join(words)}"


def keys_of(kind: Kind) -> list[str]:
    """The keys of a kind."""
    return list(KINDS[kind].model_fields)


def add_pydantic(faults: Faults, kind: Kind, errors: Iterable[Any]) -> None:
    """Add what pydantic says of a manifest of that kind."""
    found = list(errors)
    for error in found:
        path = tuple(error["loc"])
        # A list of nothing but wrong items is said to be empty, too.
        around = any(other["loc"][: len(path)] == path != other["loc"] for other in found)
        if not around:
            faults.add(path, _sentence(kind, error))


def _sentence(kind: Kind, error: Mapping[str, Any]) -> str:
    sort, value = error["type"], error.get("input")
    if sort == "extra_forbidden":
        return _unknown(kind, error["loc"])
    if sort == "literal_error":
        valid = _QUOTED.findall(str(error["ctx"]["expected"]))
        # A variable's value may be a secret that went astray.
        is_shown = isinstance(value, str) and not isinstance(value, Filled)
        shown = f"{redact_argument(str(value))!r} " if is_shown else ""
        return f"{shown}is none of its values; {nearest(str(value), valid)}"
    if sort == "string_type":
        is_plain = isinstance(value, (bool, int, float))
        return f"{_TEXT}: put it in quotes" if is_plain else _TEXT
    limits = error.get("ctx") or {}
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    for name, words in bounds.items():
        if name in limits:
            return f"{words} {limits[name]} is wanted"
    return _SAID.get(sort, error["msg"])


def _unknown(kind: Kind, loc: tuple[str | int, ...]) -> str:
    word = str(loc[-1])
    if len(loc) > 1:
        words = [field.alias or name for name, field in SelectionFields.model_fields.items()]
        return f"is no word of a selection; {nearest(word, words)}"
    others = [other for other in KINDS if word in keys_of(other)]
    if others:
        return f"is a key of {' and '.join(others)}, and not of {kind}"
    return f"is no key of {kind}; {nearest(word, keys_of(kind))}"
