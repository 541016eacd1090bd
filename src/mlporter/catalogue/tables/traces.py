"""Traces, spans, issues and assessments, and what MLflow adds up from them."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    bigint,
    boolean,
    date,
    double,
    experiment_id,
    foreign_key,
    integer,
    json,
    soft,
    text,
)
from mlporter.catalogue.types import Form, HiddenReference, Kind, Place, Reference, Table

__all__ = ["TABLES"]

TRACE_INFO = Table(
    name="trace_info",
    key=("request_id",),
    columns=(
        text("request_id", 50, null=False),
        experiment_id(null=False),
        bigint("timestamp_ms", null=False),
        bigint("execution_time_ms"),
        text("status", 50, null=False),
        text("client_request_id", 50),
        text("request_preview", 1000),
        text("response_preview", 1000),
        integer("db_payload_generation", null=False),
        text("trace_name", 4096),
        text("session_id", 250),
        bigint("input_tokens"),
        bigint("output_tokens"),
        bigint("total_tokens"),
        bigint("cache_read_input_tokens"),
        bigint("cache_creation_input_tokens"),
        bigint("cache_creation_input_tokens_above_1hr"),
        double("input_cost"),
        double("output_cost"),
        double("total_cost"),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
)
"""Traces. What is after ``db_payload_generation`` was in tags, metadata and `trace_metrics` before
3.17."""

TRACE_TAGS = Table(
    name="trace_tags",
    key=("request_id", "key"),
    columns=(
        text("request_id", 50, null=False),
        text("key", 250, null=False),
        text("value", 8000),
    ),
    parent="trace_info",
    references=(foreign_key(("request_id",), "trace_info"),),
    hidden=(
        HiddenReference(
            "value",
            "registered_models",
            Form.JSON,
            ("key", "mlflow.linkedPrompts"),
            fields=("name",),
        ),
    ),
    places=(
        Place("value", ("key", "mlflow.artifactLocation")),
        Place("value", ("key", "mlflow.trace.archiveLocation")),
    ),
    bulky=True,
)
"""Tags of traces. A trace's spans lie at ``mlflow.artifactLocation``, unless the tag
``mlflow.trace.spansLocation`` says TRACKING_STORE (they are in `spans`) or ARCHIVE_REPO (they are
at ``mlflow.trace.archiveLocation``)."""

TRACE_REQUEST_METADATA = Table(
    name="trace_request_metadata",
    key=("request_id", "key"),
    columns=(
        text("request_id", 50, null=False),
        text("key", 250, null=False),
        text("value", 8000),
    ),
    parent="trace_info",
    references=(foreign_key(("request_id",), "trace_info"),),
    hidden=(
        HiddenReference("value", "runs", Form.ID, ("key", "mlflow.sourceRun")),
        HiddenReference("value", "logged_models", Form.ID, ("key", "mlflow.modelId")),
        HiddenReference("value", "endpoints", Form.ID, ("key", "mlflow.gateway.endpointId")),
    ),
    bulky=True,
)
"""Metadata of traces: like tags, but unchangeable."""

TRACE_METRICS = Table(
    name="trace_metrics",
    key=("request_id", "key"),
    columns=(
        text("request_id", 50, null=False),
        text("key", 250, null=False),
        double("value"),
    ),
    parent="trace_info",
    references=(foreign_key(("request_id",), "trace_info"),),
)
"""Numbers of traces. Token counts are in `trace_info` since 3.17, which writes nothing here."""

SPANS = Table(
    name="spans",
    key=("trace_id", "span_id"),
    columns=(
        text("trace_id", 50, null=False),
        text("span_id", 50, null=False),
        experiment_id(null=False),
        text("parent_span_id", 50),
        text("name"),
        text("type", 500),
        text("status", 50, null=False),
        bigint("start_time_unix_nano", null=False),
        bigint("end_time_unix_nano"),
        bigint("duration_ns", generated=True),
        json("content", null=False),
        double("input_cost"),
        double("output_cost"),
        double("total_cost"),
        text("model_name", 500),
        text("model_provider", 500),
    ),
    parent="trace_info",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("trace_id",), "trace_info", ("request_id",)),
        Reference(
            ("trace_id", "parent_span_id"),
            "spans",
            ("trace_id", "span_id"),
            enforced=False,
            may_dangle=True,
        ),
    ),
    bulky=True,
)
"""Spans. ``content`` is the whole span; the id of its trace is in there too, packed in Base64 as
``trace_id`` and as JSON in JSON in the attribute ``mlflow.traceRequestId``."""

SPAN_METRICS = Table(
    name="span_metrics",
    key=("trace_id", "span_id", "key"),
    columns=(
        text("trace_id", 50, null=False),
        text("span_id", 50, null=False),
        text("key", 250, null=False),
        double("value"),
    ),
    parent="spans",
    references=(foreign_key(("trace_id", "span_id"), "spans"),),
)
"""Numbers of spans. Costs are in `spans` since 3.17, which writes nothing here."""

ISSUES = Table(
    name="issues",
    key=("issue_id",),
    columns=(
        text("issue_id", 36, null=False),
        experiment_id(null=False),
        text("name", 250, null=False),
        text("description", null=False),
        text("status", 50, null=False),
        text("severity", 50),
        json("root_causes"),
        text("source_run_id", 32),
        json("categories"),
        bigint("created_timestamp", null=False),
        bigint("last_updated_timestamp", null=False),
        text("created_by", 255),
        bigint("last_seen_timestamp", fallback="created_timestamp"),
        text("last_updated_by", 255, fallback="created_by"),
        json("metadata"),
    ),
    parent="experiments",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("source_run_id",), "runs", ("run_uuid",)),
    ),
    bulky=True,
)
"""Issues that were found in traces. Who updated one, when it was last seen, and ``metadata`` are
there since 3.18."""

ISSUE_CATEGORIES = Table(
    name="issue_categories",
    kind=Kind.DERIVED,
    key=("issue_id", "category_hash"),
    columns=(
        text("issue_id", 36, null=False),
        text("category_hash", 64, null=False),
        text("category", null=False),
    ),
    parent="issues",
    references=(foreign_key(("issue_id",), "issues"),),
    bulky=True,
)
"""The ``categories`` of issues once more, to be searched by, since 3.18. ``category_hash`` is the
SHA-256 of the category without spaces around it and in lower case; of two that have the same, the
last one counts."""

ASSESSMENTS = Table(
    name="assessments",
    key=("assessment_id",),
    columns=(
        text("assessment_id", 50, null=False),
        text("trace_id", 50, null=False),
        text("name", 250, null=False),
        # MLflow declares 50, but no migration ever widened it.
        text("assessment_type", 20, null=False),
        json("value", null=False),
        json("error"),
        bigint("created_timestamp", null=False),
        bigint("last_updated_timestamp", null=False),
        experiment_id(),
        bigint("trace_timestamp_ms"),
        double("aggregate_value"),
        boolean("is_numeric_value", null=False),
        text("source_type", 50, null=False),
        text("source_id", 250),
        text("run_id", 32),
        text("span_id", 50),
        text("rationale"),
        text("overrides", 50),
        boolean("valid", null=False),
        json("assessment_metadata"),
    ),
    parent="trace_info",
    references=(
        foreign_key(("trace_id",), "trace_info", ("request_id",)),
        soft("experiment_id", "experiments"),
        soft("run_id", "runs", "run_uuid"),
        Reference(
            ("trace_id", "span_id"),
            "spans",
            ("trace_id", "span_id"),
            enforced=False,
            may_dangle=True,
        ),
        soft("overrides", "assessments", "assessment_id"),
        soft("name", "issues", "issue_id", where=("assessment_type", "issue")),
    ),
    hidden=(
        HiddenReference(
            "assessment_metadata", "runs", Form.JSON, fields=("mlflow.assessment.sourceRunId",)
        ),
        HiddenReference(
            "assessment_metadata",
            "trace_info",
            Form.JSON,
            fields=("mlflow.assessment.scorerTraceId",),
        ),
    ),
    bulky=True,
)
"""Feedback, expectations and issues on traces and spans. An assessment of the type ``issue`` has
that issue's id as its name."""

SQL_TRACE_METRIC_DAILY_ROLLUPS = Table(
    name="sql_trace_metric_daily_rollups",
    kind=Kind.DERIVED,
    key=("id",),
    columns=(
        bigint("id", null=False),
        experiment_id(null=False),
        date("rollup_day", null=False),
        text("metric_name", 250, null=False),
        text("grouping_set", 50, null=False),
        text("trace_status", 50),
        bigint("sample_count", null=False),
        double("sum_value"),
        double("min_value"),
        double("max_value"),
        double("p50_value"),
        double("p90_value"),
        double("p99_value"),
    ),
    parent="experiments",
    references=(soft("experiment_id", "experiments"),),
)
"""Sums a day of what `trace_info` holds. MLflow rebuilds them from raw rows, if told to at all."""

SQL_SPAN_COST_DAILY_ROLLUPS = Table(
    name="sql_span_cost_daily_rollups",
    kind=Kind.DERIVED,
    key=("id",),
    columns=(
        bigint("id", null=False),
        experiment_id(null=False),
        date("rollup_day", null=False),
        text("metric_name", 250, null=False),
        text("grouping_set", 50, null=False),
        text("model_name", 500),
        text("model_provider", 500),
        bigint("sample_count", null=False),
        double("sum_value"),
        double("min_value"),
        double("max_value"),
    ),
    parent="experiments",
    references=(soft("experiment_id", "experiments"),),
)
"""Sums a day of what `spans` cost."""

SQL_ASSESSMENT_DAILY_ROLLUPS = Table(
    name="sql_assessment_daily_rollups",
    kind=Kind.DERIVED,
    key=("id",),
    columns=(
        bigint("id", null=False),
        experiment_id(null=False),
        date("rollup_day", null=False),
        text("metric_name", 250, null=False),
        text("grouping_set", 50, null=False),
        bigint("sample_count", null=False),
        double("sum_value"),
        double("min_value"),
        double("max_value"),
    ),
    parent="experiments",
    references=(soft("experiment_id", "experiments"),),
)
"""Sums a day of `assessments`."""

SQL_TRACE_ROLLUP_REBUILD_QUEUE = Table(
    name="sql_trace_rollup_rebuild_queue",
    kind=Kind.TRANSIENT,
    key=("experiment_id", "rollup_day", "rollup_family"),
    columns=(
        experiment_id(null=False),
        date("rollup_day", null=False),
        text("rollup_family", 50, null=False),
    ),
    parent="experiments",
    references=(soft("experiment_id", "experiments"),),
)
"""Days whose sums are out of date: a server reads raw rows there until they are rebuilt."""

TABLES = (
    TRACE_INFO,
    TRACE_TAGS,
    TRACE_REQUEST_METADATA,
    TRACE_METRICS,
    SPANS,
    SPAN_METRICS,
    ISSUES,
    ISSUE_CATEGORIES,
    ASSESSMENTS,
    SQL_TRACE_METRIC_DAILY_ROLLUPS,
    SQL_SPAN_COST_DAILY_ROLLUPS,
    SQL_ASSESSMENT_DAILY_ROLLUPS,
    SQL_TRACE_ROLLUP_REBUILD_QUEUE,
)
"""In an order in which parents come before children."""
