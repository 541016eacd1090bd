"""Traces, spans and assessments as MLflow before 3.17 keeps them: the way back of `traces`.

What became columns with revision 75868b020152 goes to tags, metadata and metrics once more, as
that revision's own `downgrade` does it. A value that would not be read as the same from there
stays in its column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from mlporter.catalogue.types import Column
from mlporter.stores.database.history.json_values import finite
from mlporter.stores.database.history.traces import (
    COSTS,
    SPAN_KEYS,
    TOKENS,
    aggregate_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["DIMENSIONS", "KEPT_IN", "MOVED_BACK", "KeptIn", "assessment_left", "dimensions_of"]

Row = dict[str, Any]

DIMENSIONS = Column("dimension_attributes", pa.string(), json=True)
"""The column of `spans` that `RETIRED_COLUMNS` names."""
_EXACT = 2**53
"""Up to here every whole number is a floating-point one."""


def _name(row: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    if row["trace_name"] is not None:
        yield "mlflow.traceName", row["trace_name"]


def _metadata(row: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    if row["session_id"] is not None:
        yield "mlflow.trace.session", row["session_id"]
    for key, found in (
        ("mlflow.trace.tokenUsage", dict(_tokens(row))),
        ("mlflow.trace.cost", dict(_costs(row))),
    ):
        if found:
            yield key, json.dumps(found)


def _tokens(row: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name in TOKENS:
        if row[name] is not None:
            yield name, row[name]


def _metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    # They win over the metadata when they are read, so only where they say the same.
    return ((name, float(value)) for name, value in _tokens(row) if abs(value) <= _EXACT)


def _costs(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in COSTS:
        if finite(row[name]) is not None:
            yield name, row[name]


def dimensions_of(row: Mapping[str, Any]) -> str | None:
    """What `spans.dimension_attributes` says of a span's model."""
    names = zip(SPAN_KEYS, ("model_name", "model_provider"), strict=True)
    found = {key: row[name] for key, name in names if row[name] is not None}
    return json.dumps(found) if found else None


def assessment_left(row: Mapping[str, Any], of_trace: tuple[int, int] | None) -> Row:
    """What of an assessment is other than what MLflow makes of it and of its trace.

    Args:
        row: It.
        of_trace: The experiment and the time of its trace, if that is there.
    """
    number, is_numeric = aggregate_of(row["value"])
    experiment, time = of_trace or (None, None)
    made = {
        "experiment_id": experiment,
        "trace_timestamp_ms": time,
        "aggregate_value": number,
    }
    left: Row = {name: None if row[name] == value else row[name] for name, value in made.items()}
    left["is_numeric_value"] = row["is_numeric_value"] and not is_numeric
    return left


class KeptIn(NamedTuple):
    """What rows of an older table are made of columns.

    Attributes:
        table: The table with the columns.
        key: Its key there, which begins that of the rows.
        columns: Those that are read.
        pairs: The keys and values of the rows that one row makes.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    pairs: Callable[[Mapping[str, Any]], Iterable[tuple[str, object]]]


_TRACE, _SPAN = ("request_id",), ("trace_id", "span_id")

KEPT_IN: Mapping[str, KeptIn] = {
    "trace_tags": KeptIn("trace_info", _TRACE, ("trace_name",), _name),
    "trace_request_metadata": KeptIn(
        "trace_info", _TRACE, ("session_id", *TOKENS, *COSTS), _metadata
    ),
    "trace_metrics": KeptIn("trace_info", _TRACE, TOKENS, _metrics),
    "span_metrics": KeptIn("spans", _SPAN, COSTS, _costs),
}
"""By the older table."""

MOVED_BACK: Mapping[str, Mapping[str, str]] = {
    "trace_info": {
        "trace_name": "trace_tags",
        **dict.fromkeys(("session_id", *TOKENS, *COSTS), "trace_request_metadata"),
    },
    "spans": {
        **dict.fromkeys(COSTS, "span_metrics"),
        **dict.fromkeys(("model_name", "model_provider"), f"spans.{DIMENSIONS.name}"),
    },
    "assessments": dict.fromkeys(
        ("experiment_id", "trace_timestamp_ms", "aggregate_value", "is_numeric_value"), ""
    ),
}
"""By table and column: where an older schema keeps the values. `""` is nowhere: they are made of
others."""
