"""What MLflow's REST API does not show of what MLflow stores, as data: 3.17, read and tried.

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
    "LINKS",
    "NUMBERS",
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
        "mcp_server_versions": ("tools", "connect_options"),
        "evaluation_dataset_records": ("expectations", "tags", "source", "outputs"),
    }
)
"""Columns in which an empty text, the JSON ``null`` and nothing at all look the same."""

EMPTIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"mcp_server_versions": ("tools", "connect_options")}
)
"""Columns of `BLANKS` in which an empty JSON list or object looks like nothing, too."""

LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType({"spans": ("content",)})
"""JSON in which no links and an empty list of links look the same: newer MLflows write the
latter, and a server writes what it takes in its own way."""

NUMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType({"assessments": ("value",)})
"""JSON in which whole numbers and floats look the same: 1 and 1.0."""
