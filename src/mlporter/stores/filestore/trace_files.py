"""Traces: their description, tags, metadata, spans and assessments."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from mlporter.stores.database.history.trace_columns import promoted
from mlporter.stores.filestore.assessments import read_assessments
from mlporter.stores.filestore.spans import rows_of_spans
from mlporter.stores.filestore.tree import read_bytes
from mlporter.stores.filestore.values import milliseconds, read_meta, texts_below

if TYPE_CHECKING:
    from mlporter.stores.filestore.notes import Spot
    from mlporter.stores.filestore.reading import Rows
    from mlporter.stores.filestore.tree import Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["read_trace"]

_INFO = "trace_info.yaml"
_SPANS = "traces.json"
_LOCATION = "mlflow.trace.spansLocation"


def read_trace(tree: Tree, path: str, experiment: int, spot: Spot, rows: Rows) -> str | None:
    """Read one trace's folder; returns the trace's id, or None if it is not copied."""
    names = {entry.name for entry in tree.entries(path, spot)}
    if _INFO not in names:
        spot.lost(f"has no {_INFO}: a trace of which nothing is known", "missing")
        return None
    meta = read_meta(tree, f"{path}/{_INFO}", spot.at(_INFO))
    if meta is None:
        return None
    trace = meta.first_text("trace_id", "request_id") or spot.id
    if not rows.claim("trace_info", trace, spot):
        return None
    spot = spot.of("trace_info", trace)
    tags = dict(texts_below(tree, f"{path}/tags", spot.at("tags", "trace_tags")))
    metadata_spot = spot.at("request_metadata", "trace_request_metadata")
    metadata = dict(texts_below(tree, f"{path}/request_metadata", metadata_spot))
    columns, cut = promoted(tags, metadata)
    for key in cut:
        spot.lost(f"{key} does not fit the columns that MLflow 3.17 has for it", "truncated")
    row = {**_row(meta, trace, experiment), **columns}
    rows.add("trace_info", row)
    spans = _spans(tree, path, trace, experiment, spot.at(f"artifacts/{_SPANS}"))
    if spans:
        tags[_LOCATION] = "TRACKING_STORE"
    for table, values in (("trace_tags", tags), ("trace_request_metadata", metadata)):
        for key, value in values.items():
            rows.add(table, {"request_id": trace, "key": key, "value": value})
    for span in spans:
        rows.add("spans", span)
    if "assessments" in names:
        time = row["timestamp_ms"]
        read_assessments(tree, f"{path}/assessments", (trace, experiment, time), spot, rows)
    return trace


def _spans(
    tree: Tree, path: str, trace: str, experiment: int, spot: Spot
) -> list[dict[str, object]]:
    """The spans of a trace whose file lies here; it stays an artifact as well."""
    file = f"{path}/artifacts/{_SPANS}"
    if not os.path.isfile(file) or not tree.holds(file):  # noqa: PTH113 -- a text
        return []
    try:
        return rows_of_spans(json.loads(read_bytes(file)), trace, experiment)
    except OSError as error:
        detail = f"cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        detail = f"cannot be read as spans: {error}"
    spot.of("spans", trace).lost(detail)
    return []


def _row(meta: Meta, trace: str, experiment: int) -> dict[str, object]:
    duration = meta.number("execution_time_ms")
    return {
        "request_id": trace,
        "experiment_id": experiment,
        "timestamp_ms": _time(meta),
        "execution_time_ms": duration or meta.number("execution_duration_ms"),
        "status": meta.text("status") or meta.text("state") or "OK",
        "client_request_id": meta.text("client_request_id"),
        "request_preview": meta.text("request_preview"),
        "response_preview": meta.text("response_preview"),
        "db_payload_generation": 0,
    }


def _time(meta: Meta) -> int:
    """Milliseconds since the epoch: a number before MLflow 3, a text since."""
    value = meta.number("timestamp_ms")
    if value is not None:
        return value
    written = meta.fields.get("request_time")
    if isinstance(written, int):
        return written
    found = milliseconds(written) if isinstance(written, str) else None
    if found is None:
        meta.spot.lost(f"request_time {str(written)[:80]!r} is not a time; copied as 0")
        return 0
    return found
