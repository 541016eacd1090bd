"""Spans: those of a file store's `traces.json`, as the rows that MLflow's database has of them.

MLflow wrote them in three shapes: with a ``context`` (2.14 to 2.22), as OpenTelemetry's JSON (3.x),
and with plain ids (3.5.0). A row's ``content`` is the second.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from mlporter.stores.database.history.json_values import finite

__all__ = ["rows_of_spans"]

_HEX = re.compile(r"(0x)?[0-9a-f]+")
_STATUSES = {
    "STATUS_CODE_OK": "OK",
    "STATUS_CODE_ERROR": "ERROR",
    "STATUS_CODE_UNSET": "UNSET",
}
_CODES = {status: code for code, status in _STATUSES.items()}
_SPAN_BYTES, _TRACE_BYTES = 8, 16
_MODEL_LONGEST = 500
_COSTS = ("input_cost", "output_cost", "total_cost")
_PREFIX = "tr-"


def rows_of_spans(document: object, trace: str, experiment: int) -> list[dict[str, object]]:
    """A row for each span of a `traces.json`.

    Raises:
        ValueError: it is no document of MLflow's, or a span has no id, or one that another has.
    """
    spans = document.get("spans") if isinstance(document, Mapping) else None
    if not isinstance(spans, list):
        raise ValueError("holds no spans")  # noqa: TRY004 -- as everything else that is wrong with it
    try:
        rows = [_row(_as_stored(span), trace, experiment) for span in spans]
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"a span is not as MLflow writes it: {error!r}") from error
    if len({row["span_id"] for row in rows}) < len(rows):
        raise ValueError("two spans have the same id")
    return rows


def _as_stored(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span as MLflow's database holds it."""
    if "context" in span:
        return _from_context(span)
    stored = dict(span)
    stored["trace_id"] = _packed(span["trace_id"], _TRACE_BYTES)
    stored["span_id"] = _packed(span["span_id"], _SPAN_BYTES)
    parent = span.get("parent_span_id")
    stored["parent_span_id"] = _packed(parent, _SPAN_BYTES) if parent else None
    stored["start_time_unix_nano"] = int(span["start_time_unix_nano"])
    end = span.get("end_time_unix_nano")
    stored["end_time_unix_nano"] = int(end) if end else None
    status = dict(span.get("status") or {})
    code = str(status.get("code") or "STATUS_CODE_UNSET")
    stored["status"] = {"code": _CODES.get(code, code), "message": status.get("message") or ""}
    stored["events"] = [_event(event) for event in span.get("events") or []]
    stored["links"] = list(span.get("links") or [])
    return stored


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    time = event["time_unix_nano"] if "time_unix_nano" in event else event["timestamp"]
    return {
        "name": event["name"],
        "time_unix_nano": int(time),
        "attributes": dict(event.get("attributes") or {}),
    }


def _from_context(span: Mapping[str, Any]) -> dict[str, Any]:
    status = str(span["status_code"])
    parent = span.get("parent_id")
    return {
        "trace_id": _packed(span["context"]["trace_id"], _TRACE_BYTES),
        "span_id": _packed(span["context"]["span_id"], _SPAN_BYTES),
        "parent_span_id": _packed(parent, _SPAN_BYTES) if parent else None,
        "name": span["name"],
        "start_time_unix_nano": int(span["start_time"]),
        "end_time_unix_nano": int(span["end_time"]) if span.get("end_time") else None,
        "events": [_event(event) for event in span.get("events") or []],
        "status": {
            "code": _CODES.get(status, status),
            "message": span.get("status_message") or "",
        },
        "attributes": dict(span["attributes"]),
        "links": [],
    }


def _packed(text: str, size: int) -> str:
    """An id of `size` bytes in Base64, from that or from hexadecimal digits."""
    return base64.b64encode(_bytes_of(text, size)).decode()


def _bytes_of(text: str, size: int) -> bytes:
    digits = text.removeprefix(_PREFIX)
    if _HEX.fullmatch(digits) and len(digits.removeprefix("0x")) <= 2 * size:
        return int(digits, 16).to_bytes(size, "big")
    found = base64.b64decode(text, validate=True)
    if len(found) > size:
        raise ValueError(f"{text[:80]!r} is not an id of {size} bytes")
    return found.rjust(size, b"\0")


def _row(span: Mapping[str, Any], trace: str, experiment: int) -> dict[str, object]:
    attributes = span["attributes"]
    parent = span["parent_span_id"]
    code = span["status"]["code"]
    return {
        "trace_id": trace,
        "span_id": _hex(span["span_id"]),
        "experiment_id": experiment,
        "parent_span_id": _hex(parent) if parent else None,
        "name": span["name"],
        "type": _decoded(attributes.get("mlflow.spanType")) or "UNKNOWN",
        "status": _STATUSES.get(code, code),
        "start_time_unix_nano": span["start_time_unix_nano"],
        "end_time_unix_nano": span["end_time_unix_nano"],
        "content": json.dumps(span, ensure_ascii=False),
        **_costs(attributes.get("mlflow.llm.cost")),
        "model_name": _short(_decoded(attributes.get("mlflow.llm.model"))),
        "model_provider": _short(_decoded(attributes.get("mlflow.llm.provider"))),
    }


def _hex(packed: str) -> str:
    return base64.b64decode(packed).hex()


def _decoded(value: object) -> object:
    """An attribute's value: they are JSON documents in texts."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _short(value: object) -> str | None:
    return value[:_MODEL_LONGEST] if isinstance(value, str) else None


def _costs(value: object) -> dict[str, float | None]:
    found = _decoded(value)
    given = found if isinstance(found, Mapping) else {}
    return {name: finite(given.get(name)) for name in _COSTS}
