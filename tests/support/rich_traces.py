"""Traces: nested spans, assessments of every kind, sessions, tokens, links, old shapes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import mlflow
from mlflow.entities import (
    AssessmentError,
    AssessmentSource,
    SpanEvent,
    SpanType,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.trace_status import TraceStatus
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels import models as tables
from mlflow.tracing.attachments import Attachment
from mlflow.tracing.constant import SpanAttributeKey, TraceMetadataKey
from mlflow.tracking._tracking_service.utils import _get_store

from .rich_runs import AWKWARD_TEXT, LONG_AGO, add_rows, start_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Characters in the output of the big trace's span: too much for a row to be taken lightly.
BIG_PAYLOAD = 300_000

HUMAN = AssessmentSource(source_type="HUMAN", source_id="zoë@example.com")
JUDGE = AssessmentSource(source_type="LLM_JUDGE", source_id="openai:/gpt-x")
ATTACHMENT = b"\x89PNG\r\n\x1a\n not really"


@dataclass(frozen=True)
class RichTraces:
    """Ids of the interesting traces: ``tr-`` and 32 hex digits, except for the old one."""

    experiment_id: str
    nested_id: str
    """Four spans, tokens, cost, session, user, client request id, tags; linked to `run_id`."""
    span_ids: tuple[str, ...]
    """Of the nested trace, in order of start."""
    run_id: str
    """The nested trace is linked to it by hand, `in_run_id` by being made inside it."""
    in_run_id: str
    error_id: str
    """Ended with an exception in a child span."""
    big_id: str
    attachment_id: str
    """Its input is a picture, kept as an artifact beside the spans."""
    in_progress_id: str
    """State IN_PROGRESS, no spans."""
    old_id: str
    """Shape of MLflow 2: no span rows, spans only in the ``traces.json`` artifact."""
    assessments: dict[str, str]
    """Assessment ids of the nested trace: feedback, list, error, expectation, overridden, override,
    on_span."""


def build_traces(
    client: MlflowClient, database_uri: str, experiment: str, model_id: str
) -> RichTraces:
    """Make all of it in ``experiment``; some spans say that ``model_id`` made them."""
    mlflow.set_experiment(experiment_id=experiment)
    run = start_run(client, experiment, "has traces")
    nested = _nested_spans(model_id)
    client.link_traces_to_run([nested], run)
    spans = mlflow.get_trace(nested).data.spans
    ids = tuple(span.span_id for span in sorted(spans, key=lambda span: span.start_time_ns))
    traces = RichTraces(
        experiment_id=experiment,
        nested_id=nested,
        span_ids=ids,
        run_id=run,
        in_run_id=_inside_a_run(run),
        error_id=_failing(),
        big_id=_big(),
        attachment_id=_with_attachment(),
        in_progress_id=_in_progress(experiment),
        old_id=_old_shape(experiment),
        assessments=_assessments(nested, ids[1], run),
    )
    client.set_terminated(run, end_time=LONG_AGO + 9)
    client.set_trace_tag(nested, "set/later ü", AWKWARD_TEXT)
    _numbers_of_older_releases(database_uri, nested, ids[-1])
    return traces


def _nested_spans(model_id: str) -> str:
    """A conversation turn: root, a retriever, and a chain with a language model in it."""
    with mlflow.start_span("root 🦆", span_type=SpanType.AGENT) as root:
        root.set_inputs({"question": AWKWARD_TEXT, "n": 1, "none": None})
        mlflow.update_current_trace(
            tags={"team": "ünit", "empty": ""},
            metadata={"release": "1.0", "awkward": AWKWARD_TEXT},
            client_request_id="req/1 🦆",
            session_id="session-1",
            user="zoë",
            model_id=model_id,
        )
        with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
            span.set_outputs([{"page_content": "a", "metadata": {"doc_uri": "s3://b/x?y"}}])
        with mlflow.start_span("chain", span_type=SpanType.CHAIN) as span:
            span.set_attributes({"list": [1, 2.5, None], "float": 1e-9, "ключ": "значение"})
            _language_model_call()
        root.set_outputs(["answer", {"nested": {"deep": [True, False]}}])
        return str(root.trace_id)


def _language_model_call() -> None:
    with mlflow.start_span("llm", span_type=SpanType.LLM) as span:
        tokens = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
        cost = {"input_cost": 0.001, "output_cost": 0.002, "total_cost": 0.003}
        span.set_attribute(SpanAttributeKey.CHAT_USAGE, tokens)
        span.set_attribute(SpanAttributeKey.LLM_COST, cost)
        span.set_attribute(SpanAttributeKey.MODEL, "gpt-x")
        span.set_attribute(SpanAttributeKey.MODEL_PROVIDER, "openai")
        event = SpanEvent("first token", attributes={"after": 0.1})  # type: ignore[abstract]
        span.add_event(event)
        span.set_outputs("🦆")


def _inside_a_run(run_id: str) -> str:
    """MLflow notes the active run in the trace's metadata, under ``mlflow.sourceRun``."""
    with mlflow.start_run(run_id=run_id), mlflow.start_span("in a run") as span:
        mlflow.update_current_trace(session_id="session-1")
        span.set_outputs("")
    return str(span.trace_id)


def _failing() -> str:
    with suppress(ValueError), mlflow.start_span("fails") as root, mlflow.start_span("child"):
        int("not a number 🦆")
    return str(root.trace_id)


def _big() -> str:
    with mlflow.start_span("big") as span:
        span.set_outputs("ü" * BIG_PAYLOAD)
    return str(span.trace_id)


def _with_attachment() -> str:
    with mlflow.start_span("attachment") as span:
        span.set_inputs({"image": Attachment(content_type="image/png", content_bytes=ATTACHMENT)})
    return str(span.trace_id)


def _in_progress(experiment: str) -> str:
    """A trace whose program died: started, and never heard of again."""
    info = TraceInfo(
        trace_id=f"tr-{uuid4().hex}",
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=LONG_AGO,
        state=TraceState.IN_PROGRESS,
        request_preview="who's there?",
        trace_metadata={"mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": "knock"},
    )
    return str(_get_store().start_trace(info).trace_id)


def _old_shape(experiment: str) -> str:
    """What MLflow 2 left: a 32-digit id without prefix, and its spans in a file."""
    store = _get_store()
    started: Any = store.deprecated_start_trace_v2(
        experiment,
        LONG_AGO,
        {TraceMetadataKey.INPUTS: '{"q": 1}', "mlflow.trace_schema.version": "2"},
        {"mlflow.traceName": "old", "old tag": "ü"},
    )
    trace_id = str(started.request_id)
    store.deprecated_end_trace_v2(
        trace_id, LONG_AGO + 12, TraceStatus.OK, {TraceMetadataKey.OUTPUTS: "2"}, {}
    )
    location = store.get_trace_info(trace_id).tags["mlflow.artifactLocation"]
    get_artifact_repository(location).upload_trace_data(
        json.dumps({"spans": [_old_span(trace_id)]})
    )
    return trace_id


def _old_span(trace_id: str) -> dict[str, object]:
    return {
        "name": "old",
        "context": {"span_id": "0x00f067aa0ba902b7", "trace_id": "0x" + "4b" * 16},
        "parent_id": None,
        "start_time": LONG_AGO * 1_000_000,
        "end_time": (LONG_AGO + 12) * 1_000_000,
        "status_code": "OK",
        "status_message": "",
        "attributes": {
            "mlflow.traceRequestId": json.dumps(trace_id),
            "mlflow.spanInputs": '{"q": 1}',
            "mlflow.spanOutputs": "2",
            "mlflow.spanType": '"UNKNOWN"',
        },
        "events": [],
    }


def _numbers_of_older_releases(database_uri: str, trace: str, span: str) -> None:
    """Rows that MLflow 3.9 to 3.16 wrote; 3.17 moved them to columns and left the rows behind."""
    add_rows(
        database_uri,
        tables.SqlTraceMetrics(request_id=trace, key="input_tokens", value=11.0),
        tables.SqlSpanMetrics(trace_id=trace, span_id=span, key="input_cost", value=0.001),
    )


def _assessments(trace: str, span: str, run: str) -> dict[str, str]:
    """Feedback and expectations by people, code and judges; one of them overridden."""
    failure = AssessmentError("RATE_LIMIT", "too many 🦆", "Traceback …\n  line")
    made = {
        "feedback": mlflow.log_feedback(
            trace_id=trace,
            name="helpful",
            value=True,
            source=HUMAN,
            rationale=AWKWARD_TEXT,
            metadata={"mlflow.assessment.sourceRunId": run, "empty": ""},
        ),
        "list": mlflow.log_feedback(
            trace_id=trace, name="scores", value=[0.1, 1e-12, 3], source=JUDGE
        ),
        "error": mlflow.log_feedback(trace_id=trace, name="judge", error=failure, source=JUDGE),
        "expectation": mlflow.log_expectation(
            trace_id=trace, name="answer", value={"facts": ["ü", None]}, source=HUMAN
        ),
        "overridden": mlflow.log_feedback(trace_id=trace, name="tone", value="bad", source=JUDGE),
        "on_span": mlflow.log_feedback(
            trace_id=trace, name="relevant", value=0, span_id=span, source=HUMAN
        ),
    }
    ids = {name: str(assessment.assessment_id) for name, assessment in made.items()}
    override = mlflow.override_feedback(
        trace_id=trace,
        assessment_id=ids["overridden"],
        value="good",
        rationale="it is irony",
        source=HUMAN,
    )
    return {**ids, "override": str(override.assessment_id)}
