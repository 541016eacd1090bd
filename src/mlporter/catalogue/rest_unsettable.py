"""What a tracking server cannot be told: columns that it fills in itself.

These are limits of the kind of target: they are named once, in the summary and in the docs, and
`diff` between a registry and its copy on a server leaves them out unless it is strict.
"""

from __future__ import annotations

__all__ = ["UNSETTABLE"]

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
}
"""By table, columns that MLflow's REST API has no way to set."""
