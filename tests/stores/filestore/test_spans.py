"""Spans of `traces.json` as every MLflow wrote it; today's MLflow reads the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow.entities import Span

from mlporter.stores.filestore.spans import rows_of_spans

OLD = sorted((Path(__file__).parents[2] / "data" / "old-traces").glob("*.json"))
CASES = [
    pytest.param(json.loads(line), id=f"{path.stem} {number}")
    for path in OLD
    for number, line in enumerate(path.read_text().splitlines())
]


def test_versions_that_wrote_otherwise_are_there():
    assert [path.stem.split("-")[1] for path in OLD] == ["2.22.1", "3.1.4", "3.10.1", "3.5.0"]


@pytest.mark.parametrize("document", CASES)
def test_a_span_is_what_mlflow_reads_from_the_file(document):
    rows = rows_of_spans(document, "tr-1", 1)
    assert len(rows) == len(document["spans"]) > 0
    for row, written in zip(rows, document["spans"], strict=True):
        span = Span.from_dict(written)
        assert row["span_id"] == span.span_id
        assert row["parent_span_id"] == span.parent_id
        assert row["name"] == span.name
        assert row["type"] == span.span_type
        assert row["status"] == span.status.status_code.value
        assert row["start_time_unix_nano"] == span.start_time_ns
        assert row["end_time_unix_nano"] == span.end_time_ns
        kept = Span.from_dict(json.loads(str(row["content"])))
        assert kept.to_dict() == span.to_dict()
        assert (kept.inputs, kept.outputs) == (span.inputs, span.outputs)
        assert kept.events == span.events


def test_spans_that_are_no_spans_are_refused():
    with pytest.raises(ValueError, match="holds no spans"):
        rows_of_spans({"spans": None}, "tr-1", 1)
