"""Endpoints of the gateway as scorers name them: ``gateway:/<endpoint>`` in a JSON document.

MLflow stores an endpoint's id there, and its API says and takes the name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlporter.stores.rows.json_strings import with_strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.stores.rows.json_strings import Path

__all__ = ["endpoints_in", "with_endpoints"]

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
