"""Traces as MLflow's REST API takes them, from rows; spans as OpenTelemetry has them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlporter.stores.database.history.traces import COSTS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlporter.stores.rest.client import Json

__all__ = ["TRACES_PATH", "assessment_body", "spans_body", "trace_body"]

TRACES_PATH = "/v1/traces"
"""Where OpenTelemetry sends spans."""
_LOCATION = "mlflow.artifactLocation"
_SPANS = "mlflow.trace.spansLocation"
_IN_DATABASE = "TRACKING_STORE"
_COLUMNS = {"mlflow.trace.tokenUsage": TOKENS, "mlflow.trace.cost": COSTS}
"""Metadata that MLflow 3.17 keeps in columns."""


def trace_body(
    row: Mapping[str, Any],
    tags: Mapping[str, str],
    metadata: Mapping[str, str],
    assessments: Iterable[Json],
) -> Json:
    """The request that makes a trace, or adds to one.

    Args:
        row: Of `trace_info`, by the server's ids.
        tags: Of the trace. Where its files and spans lie is the server's own business.
        metadata: Of the trace.
        assessments: As `assessment_body` gives them.
    """
    told: dict[str, Any] = {
        "trace_id": row["request_id"],
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": str(row["experiment_id"])},
        },
        "request_time": _time(row["timestamp_ms"]),
        "state": row["status"],
        "tags": _tags(row, tags),
        "trace_metadata": _metadata(row, metadata),
        "assessments": list(assessments),
    }
    if row["execution_time_ms"] is not None:
        told["execution_duration"] = f"{Decimal(row['execution_time_ms']) / 1000}s"
    for name in ("client_request_id", "request_preview", "response_preview"):
        if row[name] is not None:
            told[name] = row[name]
    return {"trace": {"trace_info": told}}


def _tags(row: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
    found = {key: value or "" for key, value in tags.items() if key != _LOCATION}
    if found.get(_SPANS) == _IN_DATABASE:
        del found[_SPANS]
    if row["trace_name"] is not None:
        found["mlflow.traceName"] = row["trace_name"]
    return found


def _metadata(row: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    found = {key: value or "" for key, value in metadata.items()}
    if row["session_id"] is not None:
        found["mlflow.trace.session"] = row["session_id"]
    for key, columns in _COLUMNS.items():
        numbers = {name: row[name] for name in columns if row[name] is not None}
        if numbers:
            found[key] = json.dumps(numbers)
    return found


def assessment_body(row: Mapping[str, Any]) -> Json:
    """An assessment as the API takes it, from a row."""
    told: dict[str, Any] = {
        "assessment_id": row["assessment_id"],
        "assessment_name": row["name"],
        "trace_id": row["trace_id"],
        "source": {"source_type": row["source_type"], "source_id": row["source_id"] or ""},
        "create_time": _time(row["created_timestamp"]),
        "last_update_time": _time(row["last_updated_timestamp"]),
    }
    for name in ("span_id", "rationale", "overrides"):
        if row[name]:
            told[name] = row[name]
    metadata = json.loads(row["assessment_metadata"] or "null")
    if metadata:
        told["metadata"] = {key: str(value) for key, value in metadata.items()}
    value, error = json.loads(row["value"]), json.loads(row["error"] or "null")
    return told | _value(row["assessment_type"], value, error)


def _value(kind: str, value: Any, error: Any) -> Json:  # noqa: ANN401 -- any JSON
    if kind == "issue":
        return {"issue": {"issue_name": (value or {}).get("issue_name") or ""}}
    if kind == "expectation":
        if isinstance(value, dict | list):
            told = {"serialization_format": "JSON_FORMAT", "value": json.dumps(value)}
            return {"expectation": {"serialized_value": told}}
        return {"expectation": {"value": value}}
    return {"feedback": {"value": value, **({"error": error} if error else {})}}


def _time(milliseconds: int) -> str:
    """A time as protobuf's JSON has it."""
    whole, rest = divmod(milliseconds, 1000)
    moment = datetime.fromtimestamp(whole, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def spans_body(contents: Iterable[str]) -> bytes:
    """The OpenTelemetry request that brings spans, from their contents as MLflow stores them.

    Raises:
        ValueError: a span is not as MLflow writes them.
    """
    from mlflow.entities.span import Span  # noqa: PLC0415 -- takes a while
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    try:
        for content in map(json.loads, contents):
            span = Span.from_dict(content).to_otel_proto()
            kind = content.get("kind")  # MLflow before 3.18 does not know it
            if kind in (kinds := dict(span.SpanKind.items())):
                span.kind = kinds[kind]
            scope.spans.append(span)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
    body: bytes = request.SerializeToString()
    return body
