"""What MLflow's REST API does not show, and what it cannot be told, as data: 3.18, read and tried.

A registry that is read through a server lacks this, whoever reads it. It is said once with every
export from a server, and left out where a server is compared with anything else.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BLANKS",
    "EMPTIES",
    "HIDDEN_COLUMNS",
    "HIDDEN_ROWS",
    "HIDDEN_TABLES",
    "NUMBERS",
    "UNSETTABLE",
    "USUAL",
]

HIDDEN_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "runs": (
            "source_type",
            "source_name",
            "entry_point_name",
            "deleted_time",
            "source_version",
        ),
        "datasets": ("dataset_uuid",),
        "logged_model_metrics": ("dataset_uuid",),
        "inputs": ("input_uuid",),
        "trace_info": ("db_payload_generation",),
        "entity_associations": ("association_id", "created_time"),
        "webhooks": ("secret", "deleted_timestamp"),
    }
)
"""Columns by table. Where a value must be there, it is made up of what the row is known by; so are
`inputs.source_id` of a dataset and `input_tags.input_uuid`, which are compared all the same."""

HIDDEN_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "trace_metrics": "MLflow 3.17 has them in `trace_info`",
        "span_metrics": "MLflow 3.17 has them in `spans`",
        "secrets": "the API shows masks only",
    }
)
"""Tables of which nothing is shown, and why."""

HIDDEN_ROWS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "logged_models": ("lifecycle_stage", "deleted"),
        "model_versions": ("current_stage", "Deleted_Internal"),
        "webhooks": ("deleted_timestamp", None),
        "mcp_server_versions": ("status", "deleted"),
        "skill_versions": ("status", "deleted"),
    }
)
"""Deleted rows, with what hangs on them: the column that says so, and how (None: by not being
NULL). Deleted experiments and runs are shown."""

BLANKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "registered_models": ("description",),
        "model_versions": ("description", "user_id", "run_id", "run_link", "status_message"),
        "runs": ("name", "user_id"),
        "logged_models": ("model_type", "source_run_id", "status_message"),
        "datasets": ("dataset_schema", "dataset_profile"),
        "assessments": ("source_id", "span_id", "rationale", "overrides"),
        "label_schemas": ("instruction", "created_by"),
        "review_queues": ("created_by",),
        "review_queue_items": ("completed_by",),
        "trace_info": ("client_request_id", "request_preview", "response_preview"),
        "webhooks": ("description",),
        "model_definitions": ("created_by", "last_updated_by"),
        "endpoints": ("created_by", "last_updated_by", "routing_strategy"),
        "endpoint_model_mappings": ("created_by",),
        "endpoint_bindings": ("created_by", "last_updated_by", "display_name"),
        "budget_policies": ("created_by", "last_updated_by", "target_value"),
        "guardrails": ("created_by", "last_updated_by", "action_endpoint_id"),
        "guardrail_configs": ("created_by",),
        "mcp_servers": ("icons",),
        "skills": ("icons",),
        "mcp_server_versions": ("tools", "connect_options"),
        "issues": ("metadata",),
        "evaluation_dataset_records": ("expectations", "tags", "source", "outputs"),
    }
)
"""Columns in which an empty text, the JSON ``null`` and nothing at all look the same."""

EMPTIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"mcp_server_versions": ("tools", "connect_options"), "issues": ("metadata",)}
)
"""Columns of `BLANKS` in which an empty JSON list or object looks like nothing, too."""

USUAL: Mapping[str, Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "spans": {
            "content": (
                (', "links": []', ""),
                (
                    ', "kind": "SPAN_KIND_INTERNAL", "start_time_unix_nano"',
                    ', "start_time_unix_nano"',
                ),
            )
        }
    }
)
"""JSON in which what is usual looks the same whether it is written or not, as MLflow writes it, and
without: newer MLflows write that a span has no links, and (3.18) that it is of the usual kind. In a
text inside of it, it would be written otherwise."""

NUMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType({"assessments": ("value",)})
"""JSON in which whole numbers and floats look the same: 1 and 1.0."""

_TIMES = frozenset({"creation_time", "last_updated_time"})
_MADE = frozenset({"created_at", "last_updated_at"})
_BY = frozenset({"created_by", "last_updated_by"})

UNSETTABLE: dict[str, frozenset[str]] = {
    "experiments": frozenset({"creation_time", "last_update_time"}),
    "runs": frozenset(
        {"source_type", "source_name", "entry_point_name", "source_version", "deleted_time"}
    ),
    "datasets": frozenset({"dataset_uuid"}),
    "inputs": frozenset({"input_uuid"}),
    "logged_models": frozenset(
        {"creation_timestamp_ms", "last_updated_timestamp_ms", "status_message"}
    ),
    "logged_model_metrics": frozenset({"dataset_uuid"}),
    "registered_models": _TIMES,
    "model_versions": _TIMES | {"user_id", "status", "status_message"},
    "trace_info": frozenset({"db_payload_generation"}),
    "assessments": frozenset({"aggregate_value", "is_numeric_value"}),
    "evaluation_datasets": frozenset(
        {"created_time", "last_update_time", "digest", "schema", "profile", "created_by"}
        | {"last_updated_by"}
    ),
    "evaluation_dataset_records": frozenset(
        {"created_time", "last_update_time", "created_by", "last_updated_by"}
    ),
    "scorer_versions": frozenset({"creation_time"}),
    "issues": frozenset({"created_timestamp", "last_updated_timestamp"}),
    "label_schemas": frozenset({"created_time", "last_update_time", "is_default", "created_by"}),
    "review_queues": frozenset({"creation_time_ms", "last_update_time_ms", "created_by"}),
    "review_queue_items": frozenset(
        {"creation_time_ms", "last_update_time_ms", "completed_time_ms"}
    ),
    "entity_associations": frozenset({"association_id", "created_time"}),
    "webhooks": frozenset({"creation_timestamp", "last_updated_timestamp"}),
    "model_definitions": _MADE | {"last_updated_by"},
    "endpoints": _MADE | {"last_updated_by"},
    "endpoint_model_mappings": frozenset({"created_at", "created_by"}),
    "endpoint_bindings": _MADE | _BY | {"display_name"},
    "budget_policies": _MADE | {"last_updated_by"},
    "guardrails": _MADE | _BY,
    "guardrail_configs": frozenset({"created_at", "created_by"}),
    "mcp_servers": _MADE | _BY,
    "mcp_server_versions": _MADE | _BY,
    "mcp_access_endpoints": _MADE | _BY,
    "skills": _MADE | _BY,
    "skill_versions": _MADE | _BY,
}
"""By table, columns that MLflow's REST API has no way to set."""
