"""Ids that are written inside strings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mlporter.catalogue.types import Form, HiddenReference
from mlporter.stores.rows.gateway_endpoints import endpoints_in

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ids_in", "version_in"]

_URI = re.compile(r"^(runs|models):(?://[^/]*)?/+([^/@]+)(?:/([^/]+))?")
_SCHEMES = {"runs": "runs", "logged_models": "models"}


def ids_in(hidden: HiddenReference, text: str) -> Iterator[str]:
    """The ids in a value of a column with hidden references."""
    if hidden.form is Form.ID:
        yield text
    elif hidden.form is Form.LIST:
        yield from (part for part in text.split(",") if part)
    elif hidden.form is Form.JSON:
        yield from _in_json(text, hidden.fields)
    elif hidden.form is Form.ENDPOINT:
        yield from endpoints_in(text)
    elif hidden.form is Form.URI:
        found = _URI.match(text)
        if found and found[1] == _SCHEMES.get(hidden.table):
            yield found[2]


def version_in(uri: str) -> tuple[str, int] | None:
    """Name and number of the model version that ``models:/name/3`` is."""
    found = _URI.match(uri)
    if found and found[1] == "models" and found[3] and found[3].isdecimal():
        return found[2], int(found[3])
    return None


def _in_json(text: str, fields: tuple[str, ...]) -> Iterator[str]:
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            for name, item in value.items():
                if name in fields:
                    yield from _texts(item)
                else:
                    pending.append(item)


def _texts(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
