"""Endpoints of the gateway as scorers name them: ``gateway:/<endpoint>`` in a JSON document.

MLflow stores an endpoint's id there, and its API says and takes the name.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    try:
        document = json.loads(text)
    except ValueError:
        return text
    changed = _walk(document, endpoints)
    return text if changed == document else json.dumps(changed)


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


def _walk(value: Any, endpoints: Mapping[str, str]) -> Any:  # noqa: ANN401 -- JSON
    if isinstance(value, list):
        return [_walk(item, endpoints) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _named(item, endpoints)
        if key == _FIELD and isinstance(item, str)
        else _walk(item, endpoints)
        for key, item in value.items()
    }


def _named(model: str, endpoints: Mapping[str, str]) -> str:
    if not model.startswith(_GATEWAY):
        return model
    name = model.removeprefix(_GATEWAY)
    return _GATEWAY + endpoints.get(name, name)
