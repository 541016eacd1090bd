"""What revision 75868b020152 (MLflow 3.17) moved out of tags, metadata and metrics into columns.

Names, sessions, token counts and costs of traces, costs and models of spans, and what can be
reckoned with of assessments. The rules are those of its migration and of
``mlflow/store/db/trace_analytics_backfill_75868b020152.py``, which never change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.stores.database.history.json_values import (
    dimensions,
    finite,
    json_object,
    token_count,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["ANALYTICS", "COSTS", "MOVED", "SPAN_KEYS", "TOKENS", "MovedValues", "Raw"]
__all__ += ["MODEL_LENGTH", "NAME_LENGTH", "SESSION_LENGTH", "aggregate_of"]

ANALYTICS = "75868b020152"
"""The revision."""

TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COSTS = ("input_cost", "output_cost", "total_cost")
SPAN_KEYS = ("mlflow.llm.model", "mlflow.llm.provider")
"""What `spans.dimension_attributes` may hold."""

NAME_LENGTH, SESSION_LENGTH, MODEL_LENGTH = 4096, 250, 500
"""Characters that the new columns hold; MLflow cut what is longer."""
_LARGEST = "1.7976931348623157e308"


@dataclass(frozen=True)
class Raw:
    """A value that a column is computed from: SQL that finds it, and the table that it needs."""

    name: str
    type: pa.DataType
    sql: str
    needs: str = ""


@dataclass(frozen=True)
class MovedValues:
    """How columns of a table are computed.

    Attributes:
        raw: What they are computed from.
        values: From rows of it to values by column.
        columns: The columns' names.
    """

    raw: tuple[Raw, ...]
    values: Callable[[Iterable[Mapping[str, Any]]], list[dict[str, Any]]]
    columns: tuple[str, ...]


def _of_trace(table: str, key: str, value: str = '"value"') -> str:
    return (
        f'(SELECT {value} FROM "{table}" m WHERE m."request_id" = "trace_info"."request_id"'
        f" AND m.\"key\" = '{key}')"
    )


def _of_span(key: str) -> str:
    return (
        '(SELECT m."value" FROM "span_metrics" m WHERE m."trace_id" = "spans"."trace_id"'
        f' AND m."span_id" = "spans"."span_id" AND m."key" = \'{key}\''
        f' AND abs(m."value") <= {_LARGEST})'
    )


def _of_assessments_trace(column: str) -> str:
    return (
        f'(SELECT t."{column}" FROM "trace_info" t WHERE t."request_id" = "assessments"."trace_id")'
    )


# What a gateway charged is known of spans only.
_SPANS_COST = (
    'CASE WHEN EXISTS (SELECT 1 FROM "trace_request_metadata" g'
    ' WHERE g."request_id" = "trace_info"."request_id"'
    " AND g.\"key\" = 'mlflow.gateway.endpointId')"
    ' THEN (SELECT sum(m."value") FROM "span_metrics" m JOIN "spans" s'
    ' ON s."trace_id" = m."trace_id" AND s."span_id" = m."span_id"'
    ' WHERE m."trace_id" = "trace_info"."request_id" AND m."key" = \'total_cost\''
    f' AND abs(m."value") <= {_LARGEST}) END'
)


def _cut(value: object, length: int) -> str | None:
    return value[:length] if isinstance(value, str) else None


def _traces(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_trace(row) for row in rows]


def _trace(row: Mapping[str, Any]) -> dict[str, Any]:
    usage, cost = json_object(row["_usage"]), json_object(row["_cost"])
    counted = {key: row[f"_{key}"] for key in TOKENS}
    tokens = {
        key: token_count(usage.get(key) if counted[key] is None else counted[key]) for key in TOKENS
    }
    costs = {key: finite(cost.get(key)) for key in COSTS}
    if costs["total_cost"] is None:
        costs["total_cost"] = row["_spans_cost"]
    return {
        "trace_name": _cut(row["_name"], NAME_LENGTH),
        "session_id": _cut(row["_session"], SESSION_LENGTH),
        **tokens,
        **costs,
    }


def _spans(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_span(row) for row in rows]


def _span(row: Mapping[str, Any]) -> dict[str, Any]:
    known = dimensions(row["_dimensions"]) or {}
    model, provider = (_cut(known.get(key), MODEL_LENGTH) for key in SPAN_KEYS)
    costs = {key: row[f"_{key}"] for key in COSTS}
    return {**costs, "model_name": model, "model_provider": provider}


def _assessments(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_assessment(row) for row in rows]


def _assessment(row: Mapping[str, Any]) -> dict[str, Any]:
    aggregate, is_numeric = aggregate_of(row["_value"])
    return {
        "experiment_id": row["_experiment_id"],
        "trace_timestamp_ms": row["_timestamp_ms"],
        "aggregate_value": aggregate,
        "is_numeric_value": is_numeric,
    }


def aggregate_of(text: str) -> tuple[float | None, bool]:
    """What MLflow adds up of the JSON of an assessment's value, and whether that is a number."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if isinstance(value, bool):
        return float(value), False
    if isinstance(value, (int, float)):
        number = finite(value)
        return number, number is not None
    if isinstance(value, str) and value.strip().lower() in {"yes", "no"}:
        return float(value.strip().lower() == "yes"), False
    return None, False


_METADATA = "trace_request_metadata"
# A metric that is NULL counts for one that is no count of tokens, and not for none.
_COUNTED = 'COALESCE(m."value", 0.5)'

MOVED: Mapping[str, MovedValues] = MappingProxyType(
    {
        "trace_info": MovedValues(
            (
                Raw("_name", pa.string(), _of_trace("trace_tags", "mlflow.traceName")),
                Raw("_session", pa.string(), _of_trace(_METADATA, "mlflow.trace.session")),
                Raw("_usage", pa.string(), _of_trace(_METADATA, "mlflow.trace.tokenUsage")),
                Raw("_cost", pa.string(), _of_trace(_METADATA, "mlflow.trace.cost")),
                Raw("_spans_cost", pa.float64(), _SPANS_COST, "span_metrics"),
                *(
                    Raw(
                        f"_{key}",
                        pa.float64(),
                        _of_trace("trace_metrics", key, _COUNTED),
                        "trace_metrics",
                    )
                    for key in TOKENS
                ),
            ),
            _traces,
            ("trace_name", "session_id", *TOKENS, *COSTS),
        ),
        "spans": MovedValues(
            (
                Raw(
                    "_dimensions",
                    pa.string(),
                    '"dimension_attributes"',
                    "spans.dimension_attributes",
                ),
                *(Raw(f"_{key}", pa.float64(), _of_span(key), "span_metrics") for key in COSTS),
            ),
            _spans,
            (*COSTS, "model_name", "model_provider"),
        ),
        "assessments": MovedValues(
            (
                Raw("_value", pa.string(), '"value"'),
                Raw("_experiment_id", pa.int64(), _of_assessments_trace("experiment_id")),
                Raw("_timestamp_ms", pa.int64(), _of_assessments_trace("timestamp_ms")),
            ),
            _assessments,
            ("experiment_id", "trace_timestamp_ms", "aggregate_value", "is_numeric_value"),
        ),
    }
)
"""By table."""
