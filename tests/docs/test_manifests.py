"""docs/manifests.md has every key of every kind, as the JSON Schema says it, and every example.

After a change of the fields: MLPORTER_UPDATE_DOCS=1 pytest tests/docs -n 0
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.manifests.kinds import KINDS
from mlporter.manifests.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "manifests.md"
BEGIN, END = "<!-- keys: made from the schema -->\n", "<!-- end of keys -->\n"


def takes(value: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if value.get("$ref", "").endswith("SelectionFields"):
        return "[a selection](#a-selection)"
    ways = [way for way in value.get("anyOf", [value]) if "$ref" not in way]
    if any(way.get("type") == "array" for way in ways):
        words = next((way["enum"] for way in ways if "enum" in way), None)
        return "some of " + ", ".join(f"`{word}`" for word in words) if words else "text or texts"
    return " or ".join(one_way(way) for way in ways)


def one_way(way: dict[str, Any]) -> str:
    if "enum" in way:
        return ", ".join(f"`{word}`" for word in way["enum"])
    names = {"string": "text", "boolean": "true or false", "integer": "number", "number": "number"}
    return names[way["type"]]


def table(entry: dict[str, Any]) -> Iterator[str]:
    needed = set(entry.get("required", ()))
    yield "| key | takes | default | |\n|---|---|---|---|\n"
    for key, value in entry["properties"].items():
        if key == "kind":
            continue
        default = "needed" if key in needed else ""
        if "default" in value:
            default = f"`{json.dumps(value['default'])}`".replace('"', "")
        yield f"| `{key}` | {takes(value)} | {default} | {value.get('description', '')} |\n"


def keys() -> Iterator[str]:
    definitions = schema()["$defs"]
    for kind, model in KINDS.items():
        entry = definitions[model.__name__]
        yield f"\n### `kind: {kind}`\n\n{entry['description']}\n\n"
        yield from table(entry)
    entry = definitions["SelectionFields"]
    yield f"\n### A selection\n\n{entry['description']} See [selection.md](selection.md).\n\n"
    yield from table(entry)


def test_the_page_is_what_the_schema_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = head + BEGIN + "".join(keys()) + "\n" + END + tail
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made


def test_it_names_every_example() -> None:
    named = re.findall(r"^\| \[([\w-]+\.yaml)\]", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(file.name for file in (ROOT / "manifests").glob("*.yaml"))
