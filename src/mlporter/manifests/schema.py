"""The JSON Schema of manifests, made from the models that read them, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from mlporter.manifests.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["schema", "schema_text"]

_VARIABLE = {
    "description": "A value from the environment: ${NAME} or ${NAME:-default}.",
    "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}$",
    "type": "string",
}
_REFERENCE = {"$ref": "#/$defs/Variable"}
_TITLES = {"title", "discriminator"}
_SAID = ("description", "default")


def schema() -> dict[str, Any]:
    """The schema, as plain values."""
    models = [(model, "validation") for model in KINDS.values()]
    _, made = models_json_schema(models, by_alias=True)  # type: ignore[arg-type]
    definitions = {name: _plain(entry) for name, entry in made["$defs"].items()}
    for name, entry in definitions.items():
        entry["properties"] = {
            key: value if key == "kind" else _or_variable(value)
            for key, value in entry["properties"].items()
        }
        if name == "SelectionFields":
            entry["minProperties"] = 1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A manifest of mlporter",
        "description": "A transfer as a file, for `mlporter run`.",
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {
                "enum": list(KINDS),
                "description": "What it does; the other keys depend on it.",
            }
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{model.__name__}"},
            }
            for kind, model in KINDS.items()
        ],
        "$defs": {**definitions, "Variable": _VARIABLE},
    }


def schema_text() -> str:
    """The schema as the file that editors read."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Without titles, and without null, which a manifest never says."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = value.get("properties")
    kept = {key: _plain(item) for key, item in value.items() if key not in _TITLES}
    if isinstance(names, dict):
        kept["properties"] = {name: _plain(item) for name, item in names.items()}
    if kept.get("default", "") in (None, [], ""):
        kept.pop("default", None)
    some = [item for item in kept.get("anyOf", ()) if item != {"type": "null"}]
    if len(some) == 1 and isinstance(some[0], dict):
        kept.pop("anyOf")
        return {**some[0], **kept}
    if some:
        kept["anyOf"] = some
    return kept


def _or_variable(value: dict[str, Any]) -> dict[str, Any]:
    """A value that is not any text can come from the environment, too."""
    said = {key: value[key] for key in _SAID if key in value}
    ways = [_items_or_variable(way) for way in value.get("anyOf", [_without(value, said)])]
    if any("$ref" in way or _is_any_text(way) for way in ways):
        return value
    return {**said, "anyOf": [*ways, _REFERENCE]}


def _items_or_variable(way: dict[str, Any]) -> dict[str, Any]:
    items = way.get("items")
    return way if items is None else {**way, "items": _or_variable(items)}


def _without(value: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


def _is_any_text(way: dict[str, Any]) -> bool:
    return way.get("type") == "string" and "enum" not in way and "pattern" not in way
