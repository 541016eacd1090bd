"""Assessments of traces: feedback, expectations, and references to issues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlporter.stores.database.history.json_values import finite
from mlporter.stores.filestore.values import milliseconds, read_meta

if TYPE_CHECKING:
    from mlporter.stores.filestore.notes import Spot
    from mlporter.stores.filestore.reading import Rows
    from mlporter.stores.filestore.tree import Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["aggregate", "read_assessments"]

_SUFFIX = ".yaml"


def read_assessments(
    tree: Tree, path: str, trace: tuple[str, int, object], spot: Spot, rows: Rows
) -> None:
    """Read the assessments of a trace, given as its id, its experiment and its time."""
    folder = spot.at("assessments", "assessments")
    for entry in tree.entries(path, folder):
        if entry.is_dir or not entry.name.endswith(_SUFFIX):
            folder.at(entry.name).told("is no assessment", "foreign")
            continue
        id_ = entry.name.removesuffix(_SUFFIX)
        meta = read_meta(tree, entry.path, folder.at(entry.name).of("assessments", id_))
        if meta is None:
            continue
        id_ = meta.text("assessment_id") or id_
        if rows.claim("assessments", id_, meta.spot):
            _add(meta, id_, trace, rows)


def _add(meta: Meta, id_: str, trace: tuple[str, int, object], rows: Rows) -> None:
    content = _content(meta)
    if content is None:
        meta.spot.lost("is neither feedback nor expectation nor issue")
        return
    kind, value, error = content
    number, is_numeric = aggregate(value)
    source, created = meta.mapping("source"), _time(meta, "create_time")
    details = meta.fields.get("metadata")
    rows.add(
        "assessments",
        {
            "assessment_id": id_,
            "trace_id": trace[0],
            "experiment_id": trace[1],
            "trace_timestamp_ms": trace[2],
            "name": meta.first_text("assessment_name", "name") or "",
            "assessment_type": kind,
            "value": json.dumps(value),
            "error": json.dumps(error) if error else None,
            "created_timestamp": created,
            "last_updated_timestamp": _time(meta, "last_update_time") or created,
            "source_type": source.text("source_type") or "CODE",
            "source_id": source.text("source_id"),
            "run_id": meta.text("run_id"),
            "span_id": meta.text("span_id"),
            "rationale": meta.text("rationale"),
            "overrides": meta.text("overrides"),
            "valid": meta.fields.get("valid", True) is not False,
            "assessment_metadata": json.dumps(details) if details else None,
            "aggregate_value": number,
            "is_numeric_value": is_numeric,
        },
    )


def _time(meta: Meta, name: str) -> int:
    """A time in milliseconds: a text in what MLflow writes."""
    number = meta.number(f"{name}_ms")
    if number is not None or name not in meta:
        return number or 0
    found = milliseconds(str(meta.fields[name]))
    if found is None:
        meta.spot.lost(f"{name} {str(meta.fields[name])[:80]!r} is not a time; copied as 0")
    return found or 0


def _content(meta: Meta) -> tuple[str, object, object] | None:
    """Type, value and error; None if it is of no type known."""
    for kind in ("feedback", "expectation", "issue"):
        found = meta.fields.get(kind)
        if isinstance(found, Mapping):
            return kind, _value(kind, found, meta.spot), found.get("error")
    return None


def _value(kind: str, found: Mapping[str, Any], spot: Spot) -> object:
    if kind == "issue":
        return dict(found)
    packed = found.get("serialized_value")
    if "value" in found or not isinstance(packed, Mapping):
        return found.get("value")
    try:
        return json.loads(str(packed.get("value")))
    except ValueError:
        spot.lost("serialized_value is not JSON; copied as text")
        return packed.get("value")


def aggregate(value: object) -> tuple[float | None, bool]:
    """The number that MLflow adds a value up as, and whether it was one."""
    if isinstance(value, bool):
        return (1.0 if value else 0.0), False
    if isinstance(value, (int, float)):
        number = finite(value)
        return number, number is not None
    if isinstance(value, str) and value.strip().lower() in {"yes", "no"}:
        return (1.0 if value.strip().lower() == "yes" else 0.0), False
    return None, False
