"""Traces, their assessments and spans, and issues."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.stores.database.history.trace_columns import promoted
from mlporter.stores.database.history.traces import COSTS
from mlporter.stores.rows.synthetic_ids import association_id
from mlporter.stores.server.reading.answer_fields import OLD_TRACE
from mlporter.stores.server.reading.rows import Json, Rows, new_rows, pairs
from mlporter.stores.server.reading.unknown_fields import keep_unknown, row_of

__all__ = ["SPANS_LOCATION", "aggregate", "is_in_database", "issue", "old_trace", "span", "span_id"]
__all__ += ["trace"]

SPANS_LOCATION = "mlflow.trace.spansLocation"
_IN_DATABASE = "TRACKING_STORE"
_LINKED_PROMPTS = "mlflow.linkedPrompts"


def is_in_database(trace: Json) -> bool:
    """Whether the spans of a trace are rows; else they are in a file, or nowhere."""
    return dict(trace.get("tags") or {}).get(SPANS_LOCATION) == _IN_DATABASE


def trace(found: Json) -> Rows:
    """A trace (as MLflow 3 shows it) with tags, metadata and assessments."""
    experiment_id = int(found["trace_location"]["mlflow_experiment"]["experiment_id"])
    started = milliseconds(found["request_time"])
    row = {
        "request_id": found["trace_id"],
        "experiment_id": experiment_id,
        "timestamp_ms": started,
        "execution_time_ms": _duration(found.get("execution_duration")),
        "status": found.get("state", "STATE_UNSPECIFIED"),
        "client_request_id": found.get("client_request_id"),
        "request_preview": found.get("request_preview"),
        "response_preview": found.get("response_preview"),
    }
    rows = _trace(row, dict(found.get("tags") or {}), dict(found.get("trace_metadata") or {}))
    keep_unknown(rows, "trace_info", found)
    for assessment in found.get("assessments", ()):
        rows["assessments"].append(_assessment(assessment, found["trace_id"], row))
    return rows


def old_trace(found: Json) -> Rows:
    """A trace as MLflow 2 shows it."""
    row = {
        "request_id": found["request_id"],
        "experiment_id": int(found["experiment_id"]),
        "timestamp_ms": found.get("timestamp_ms", 0),
        "execution_time_ms": found.get("execution_time_ms"),
        "status": found.get("status", ""),
    }
    tags, metadata = (dict(pairs(found.get(name))) for name in ("tags", "request_metadata"))
    rows = _trace(row, tags, metadata)
    keep_unknown(rows, "trace_info", found, OLD_TRACE)
    return rows


def _trace(row: dict[str, Any], tags: dict[str, str], metadata: dict[str, str]) -> Rows:
    rows = new_rows()
    id_ = row["request_id"]
    told = {"tags": dict(tags), "trace_metadata": dict(metadata)}
    columns, lost = promoted(tags, metadata)
    row |= {"db_payload_generation": 0} | columns
    rows["trace_info"].append(row)
    # An older server may say what has no column, or more than that holds: it is kept as it came.
    rows[UNKNOWN_FIELDS.name] += (
        row_of("trace_info", row, f"{where}[{key}]", texts[key])
        for where, texts in told.items()
        for key in lost
        if key in texts
    )
    for table, texts in (("trace_tags", tags), ("trace_request_metadata", metadata)):
        rows[table] += ({"request_id": id_, "key": k, "value": v} for k, v in texts.items())
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def milliseconds(time: str) -> int:
    """Milliseconds since the epoch of a time such as ``2026-11-21T19:41:08.170Z``."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    parsed = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return int(parsed.timestamp()) * 1000 + int((fraction + "000")[:3])


def _duration(text: str | None) -> int | None:
    """Milliseconds of a duration such as ``0.043s``."""
    return None if text is None else int(Decimal(text.removesuffix("s")) * 1000)


def _assessment(found: Json, trace_id: str, trace: Json) -> dict[str, Any]:
    kind, value, error = _value(found)
    number, is_numeric = aggregate(value)
    source = found.get("source", {})
    metadata = found.get("metadata")
    return {
        "assessment_id": found["assessment_id"],
        "trace_id": trace_id,
        "name": found["assessment_name"],
        "assessment_type": kind,
        "value": json.dumps(value),
        "error": None if error is None else json.dumps(error),
        "created_timestamp": milliseconds(found["create_time"]),
        "last_updated_timestamp": milliseconds(found["last_update_time"]),
        "experiment_id": trace["experiment_id"],
        "trace_timestamp_ms": trace["timestamp_ms"],
        "aggregate_value": number,
        "is_numeric_value": is_numeric,
        "source_type": source.get("source_type", ""),
        "source_id": source.get("source_id") or None,
        "run_id": (metadata or {}).get("mlflow.assessment.sourceRunId"),
        "span_id": found.get("span_id") or None,
        "rationale": found.get("rationale") or None,
        "overrides": found.get("overrides") or None,
        "valid": found.get("valid", True),
        "assessment_metadata": json.dumps(dict(metadata)) if metadata else None,
    }


def _value(found: Json) -> tuple[str, Any, Json | None]:
    """Type, value and error of an assessment."""
    if "issue" in found:
        return "issue", {"issue_name": found["issue"].get("issue_name")}, None
    if "expectation" in found:
        told = found["expectation"]
        if "serialized_value" in told:
            return "expectation", json.loads(told["serialized_value"]["value"]), None
        return "expectation", told.get("value"), None
    told = found.get("feedback", {})
    error = told.get("error") or found.get("error")
    return "feedback", told.get("value"), error


def aggregate(value: object) -> tuple[float | None, bool]:
    """What MLflow adds up of an assessment's value, and whether the value is a finite number.

    As `assessment_aggregate` in MLflow's `store/tracking/utils/trace_analytics.py` (3.17).
    """
    if isinstance(value, bool):
        return float(value), False
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None, False
        return (number, True) if math.isfinite(number) else (None, False)
    said = value.strip().lower() if isinstance(value, str) else ""
    return (float(said == "yes"), False) if said in {"yes", "no"} else (None, False)


def span(content: Json, trace_id: str, experiment_id: int) -> dict[str, Any]:
    """A row of `spans`, from a span as MLflow stores it."""
    attributes = content.get("attributes") or {}
    cost = _attribute(attributes, "mlflow.llm.cost")
    cost = cost if isinstance(cost, dict) else {}
    parent = content.get("parent_span_id")
    return {
        "trace_id": trace_id,
        "span_id": span_id(content["span_id"]),
        "experiment_id": experiment_id,
        "parent_span_id": span_id(parent) if parent else None,
        "name": content.get("name"),
        "type": _attribute(attributes, "mlflow.spanType"),
        "status": content["status"]["code"].removeprefix("STATUS_CODE_"),
        "start_time_unix_nano": int(content["start_time_unix_nano"]),
        "end_time_unix_nano": _whole(content.get("end_time_unix_nano")),
        "content": json.dumps(content),
        **{name: float(cost[name]) for name in COSTS if _is_number(cost.get(name))},
        "model_name": _text(_attribute(attributes, "mlflow.llm.model")),
        "model_provider": _text(_attribute(attributes, "mlflow.llm.provider")),
    }


def _attribute(attributes: Json, key: str) -> Any:  # noqa: ANN401 -- any JSON
    """An attribute, which is JSON as text."""
    try:
        return json.loads(attributes[key]) if key in attributes else None
    except (TypeError, ValueError):
        return attributes[key]


def _text(value: object) -> str | None:
    return value[:500] if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))


def span_id(id_: str) -> str:
    """A span's id as MLflow writes it in columns; in contents it is Base64, mostly.

    One in 4,096 begins with ``0x`` in Base64, too, and is told by its length.

    >>> span_id("0xrH8rjrfGA="), span_id("0xd31ac7f2b8eb7c60")
    ('d31ac7f2b8eb7c60', 'd31ac7f2b8eb7c60')
    """
    digits, packed = 16, 12
    if id_.startswith("0x") and len(id_) != packed:
        return id_[2:]
    return id_ if len(id_) == digits else base64.b64decode(id_).hex()


def prompts_of(found: Json) -> Rows:
    """Edges from a trace to the versions of prompts that it was linked to."""
    rows = new_rows()
    linked = _object_list(dict(found.get("tags") or {}).get(_LINKED_PROMPTS))
    for prompt in linked:
        version = f"{prompt.get('name')}/{prompt.get('version')}"
        rows["entity_associations"].append(
            association("trace", found["trace_id"], "prompt_version", version)
        )
    return rows


def _object_list(text: str | None) -> list[Json]:
    try:
        value = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def association(kind: str, id_: str, end_kind: str, end: str) -> dict[str, Any]:
    """An edge between things of any kind; its id is made up."""
    return {
        "source_id": id_,
        "source_type": kind,
        "destination_type": end_kind,
        "destination_id": end,
        "association_id": association_id(id_, kind, end_kind, end),
    }


def issue(found: Json) -> Rows:
    """An issue that was found in traces."""
    rows = new_rows()
    lists = {
        name: json.dumps(found[name]) if found.get(name) else None
        for name in ("root_causes", "categories", "metadata")
    }
    names = ("issue_id", "name", "description", "status", "severity", "source_run_id")
    times = ("created_timestamp", "last_updated_timestamp", "created_by", "last_updated_by")
    row = {name: found.get(name) for name in (*names, *times)}
    row["experiment_id"] = int(found["experiment_id"])
    # As MLflow 3.18 answers for issues that an older one made.
    row["last_seen_timestamp"] = found.get("last_seen_timestamp", row["created_timestamp"])
    rows["issues"].append(row | lists)
    keep_unknown(rows, "issues", found)
    return rows
