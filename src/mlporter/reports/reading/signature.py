"""What goes into a model and comes out, as its file MLmodel says, which is untrusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["SignatureField", "signature_of"]

_PARTS = ("inputs", "outputs", "params")
_MOST = 200
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class SignatureField:
    """One field: among the inputs, outputs or params; its name, type, and whether it is needed."""

    part: str
    name: str
    type: str
    is_needed: bool


def signature_of(mlmodel: Mapping[str, Any]) -> tuple[SignatureField, ...]:
    """The fields that a file MLmodel names; none where it says nothing that can be read."""
    said = mlmodel.get("signature")
    if not isinstance(said, dict):
        return ()
    return tuple(field for part in _PARTS for field in _fields(part, said.get(part)))


def _fields(part: str, said: object) -> Iterator[SignatureField]:
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return
    if not isinstance(said, list):
        return
    for at, one in enumerate(said[:_MOST]):
        if isinstance(one, dict):
            name = str(one.get("name") or ("-" if len(said) == 1 else at))
            is_needed = bool(one.get("required", "default" not in one))
            yield SignatureField(part, name, _type(one), is_needed)


def _type(said: object, depth: int = 0) -> str:
    """A type in words: ``double``, ``tensor float64 (-1, 4)``, ``array of string``."""
    if not isinstance(said, dict) or depth > _DEEPEST:
        return "…" if isinstance(said, dict) else str(said)
    kind = str(said.get("type", "?"))
    spec = said.get("tensor-spec")
    if isinstance(spec, dict):
        shape = spec.get("shape")
        sizes = ", ".join(map(str, shape)) if isinstance(shape, list) else "?"
        return f"tensor {spec.get('dtype', '?')} ({sizes})"
    if kind == "array" and "items" in said:
        return f"array of {_type(said['items'], depth + 1)}"
    if kind == "map" and "values" in said:
        return f"map of {_type(said['values'], depth + 1)}"
    inside = said.get("properties")
    if kind == "object" and isinstance(inside, dict):
        named = (f"{name}: {_type(one, depth + 1)}" for name, one in list(inside.items())[:20])
        return f"object {{{', '.join(named)}}}"
    return kind
