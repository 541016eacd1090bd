"""The list of known fields, held against the messages of the installed MLflow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from mlflow.protos import (
    assessments_pb2,
    datasets_pb2,
    issues_pb2,
    label_schemas_pb2,
    model_registry_pb2,
    review_queues_pb2,
    service_pb2,
    webhooks_pb2,
)

from mlporter.stores.opening import open_source
from mlporter.stores.rows.unknown_fields import field_rows, shape_of
from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS, OLD_TRACE, fields
from mlporter.stores.server.reading.rows.traces import trace
from mlporter.stores.server.reading.unknown_fields import unknown_in
from mlporter.stores.server.writing.trace_bodies import spans_body
from mlporter.stores.views.rest_view import rest_batch

if TYPE_CHECKING:
    from mlporter.stores.server.reading.answer_fields import Fields
    from tests.support.served import Served

MESSAGES = {
    "experiments": (service_pb2, "Experiment"),
    "runs": (service_pb2, "Run"),
    "metrics": (service_pb2, "Metric"),
    "logged_models": (service_pb2, "LoggedModel"),
    "trace_info": (service_pb2, "TraceInfoV3"),
    "scorer_versions": (service_pb2, "Scorer"),
    "model_definitions": (service_pb2, "GatewayModelDefinition"),
    "endpoints": (service_pb2, "GatewayEndpoint"),
    "endpoint_bindings": (service_pb2, "GatewayEndpointBinding"),
    "budget_policies": (service_pb2, "GatewayBudgetPolicy"),
    "guardrails": (service_pb2, "GatewayGuardrail"),
    "guardrail_configs": (service_pb2, "GatewayGuardrailConfig"),
    "workspaces": (service_pb2, "Workspace"),
    "registered_models": (model_registry_pb2, "RegisteredModel"),
    "model_versions": (model_registry_pb2, "ModelVersion"),
    "webhooks": (webhooks_pb2, "Webhook"),
    "issues": (issues_pb2, "Issue"),
    "evaluation_datasets": (datasets_pb2, "Dataset"),
    "evaluation_dataset_records": (datasets_pb2, "DatasetRecord"),
    "label_schemas": (label_schemas_pb2, "LabelSchema"),
    "review_queues": (review_queues_pb2, "ReviewQueue"),
    "review_queue_items": (review_queues_pb2, "ReviewQueueItem"),
}


def missing(message, known: Fields, path: str = ""):
    """Fields of a message, and of those inside of it, that are not known."""
    for one in message.fields:
        if one.name not in known.names:
            yield f"{path}{one.name}"
        elif one.name in known.inside:
            yield from missing(one.message_type, known.inside[one.name], f"{path}{one.name}.")


def message(module, name: str):
    return module.DESCRIPTOR.message_types_by_name[name]


@pytest.mark.parametrize("table", MESSAGES)
def test_every_field_of_the_installed_mlflow_is_known(table: str):
    assert list(missing(message(*MESSAGES[table]), ANSWER_FIELDS[table])) == []


def test_old_traces_and_assessments_are_known():
    assert list(missing(message(service_pb2, "TraceInfo"), OLD_TRACE)) == []
    assessments = ANSWER_FIELDS["trace_info"].inside["assessments"]
    assert list(missing(message(assessments_pb2, "Assessment"), assessments)) == []


def test_a_real_server_says_nothing_unknown(served: Served):
    source = open_source(served.address, allow_root=served.folders)
    try:
        for table in source.tables:
            source.count(table.name)
        assert {shape_of(row[0], row[2]) for row in field_rows(source)} == set()
        assert [loss for loss in source.losses() if loss.kind == "answer"] == []
    finally:
        source.close()


def test_the_usual_kind_of_a_span_is_no_difference():
    def told(text: str) -> object:
        batch = pa.RecordBatch.from_pydict({"content": [text]})
        return rest_batch("spans", batch).column(0)[0].as_py()

    plain = {"name": "a", "start_time_unix_nano": 1, "events": []}
    newer = {"name": "a", "kind": "SPAN_KIND_INTERNAL", "start_time_unix_nano": 1, "events": []}
    other = {**newer, "kind": "SPAN_KIND_CLIENT"}
    texts = [json.dumps(span) for span in (plain, {**newer, "links": []}, other)]
    assert told(texts[0]) == told(texts[1]) == texts[0]
    assert told(texts[2]) == texts[2]


def test_the_kind_of_a_span_is_sent():
    otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    span = {
        "trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==",
        "span_id": "AAAAAAAAAAE=",
        "parent_span_id": None,
        "name": "a",
        "kind": "SPAN_KIND_CLIENT",
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 2,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": '"tr-1"'},
        "links": [],
    }
    body = spans_body([json.dumps(span), json.dumps({**span, "kind": "SPAN_KIND_OF_TOMORROW"})])
    sent = otlp.ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert sent[0].kind == sent[0].SpanKind.Value("SPAN_KIND_CLIENT")


def test_what_an_older_server_says_of_traces_beyond_their_columns_is_kept():
    usage = json.dumps({"input_tokens": 3, "output_tokens": 1.5, "reasoning_tokens": 9})
    long = "n" * 4097
    rows = trace(
        {
            "trace_id": "tr-1",
            "trace_location": {"mlflow_experiment": {"experiment_id": "1"}},
            "request_time": "2026-01-01T00:00:00Z",
            "tags": {"mlflow.traceName": long},
            "trace_metadata": {
                "mlflow.trace.tokenUsage": usage,
                "mlflow.trace.cost": '{"total_cost": 0.5}',
            },
        }
    )
    (row,) = rows["trace_info"]
    assert (row["input_tokens"], row["output_tokens"], row["total_cost"]) == (3, None, 0.5)
    assert row["trace_name"] == long[:4096]
    assert {one["field"]: json.loads(one["value"]) for one in rows["unknown_fields"]} == {
        "tags[mlflow.traceName]": long,
        "trace_metadata[mlflow.trace.tokenUsage]": usage,
    }


def test_what_is_unknown_is_named_by_its_path():
    known = fields("name", tags=fields("key value"), inner=fields("a"))
    found = {
        "name": {"user's own": 1},
        "new": [1],
        "nothing": None,
        "tags": [
            {"key": "k", "value": "v", "unit": "m"},
            {"key": "a[0]", "unit": "s"},
            {"key": "k", "unit": "again"},
            "not an object",
        ],
        "inner": {"a": 1, "b": {"c": 2}},
    }
    assert dict(unknown_in(found, known)) == {
        "new": [1],
        "tags[k].unit": "m",
        "tags[1].unit": "s",
        "tags[k#2].unit": "again",
        "inner.b": {"c": 2},
    }
    assert shape_of("runs", "tags[k].unit") == shape_of("runs", "tags[1].unit")
