"""Which tables a server shows together, and how they can be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlporter.stores.server.reading.rows import Rows

__all__ = ["ANYWHERE", "BY_EXPERIMENT", "ID_COLUMNS", "OF_ACTIVE", "WHOLE", "without"]

ID_COLUMNS = {
    "runs": "run_uuid",
    "params": "run_uuid",
    "tags": "run_uuid",
    "latest_metrics": "run_uuid",
    "metrics": "run_uuid",
    "logged_models": "model_id",
    "logged_model_params": "model_id",
    "logged_model_tags": "model_id",
    "logged_model_metrics": "model_id",
    "trace_info": "request_id",
    "trace_tags": "request_id",
    "trace_request_metadata": "request_id",
    "assessments": "trace_id",
    "spans": "trace_id",
}
"""The columns by which single objects can be fetched."""
_RUN_TABLES = {"runs", "params", "tags", "latest_metrics", "datasets", "inputs", "input_tags"}
_MODEL_TABLES = {table for table, column in ID_COLUMNS.items() if column == "model_id"}
_TRACE_TABLES = {"trace_info", "trace_tags", "trace_request_metadata", "assessments"}
_REVIEW_TABLES = {
    "label_schemas",
    "review_queues",
    "review_queue_items",
    "review_queue_label_schemas",
    "review_queue_users",
}
BY_EXPERIMENT = {
    "runs": _RUN_TABLES,
    "logged models": _MODEL_TABLES,
    "traces": _TRACE_TABLES,
    "issues": {"issues"},
    "scorers": {"scorers", "scorer_versions", "online_scoring_configs"},
    "review queues": _REVIEW_TABLES,
}
WHOLE = {
    "experiments": {"experiments", "experiment_tags"},
    "workspaces": {"workspaces"},
    "registered models": {
        "registered_models",
        "registered_model_tags",
        "registered_model_aliases",
        "model_versions",
        "model_version_tags",
    },
    "webhooks": {"webhooks", "webhook_events"},
    "evaluation datasets": {
        "evaluation_datasets",
        "evaluation_dataset_tags",
        "evaluation_dataset_records",
    },
    "gateway": {
        "model_definitions",
        "endpoints",
        "endpoint_model_mappings",
        "endpoint_bindings",
        "endpoint_tags",
        "budget_policies",
        "guardrails",
        "guardrail_configs",
    },
    "MCP servers": {
        "mcp_servers",
        "mcp_server_versions",
        "mcp_server_tags",
        "mcp_server_version_tags",
        "mcp_server_aliases",
        "mcp_access_endpoints",
    },
    "skills": {
        "skills",
        "skill_versions",
        "skill_tags",
        "skill_version_tags",
        "skill_aliases",
    },
}
ANYWHERE = frozenset().union(*(WHOLE[f] for f in ("webhooks", "gateway", "MCP servers", "skills")))
"""Tables of what lies in a workspace, and in no experiment."""
OF_ACTIVE = frozenset({"scorers", "review queues"})
"""What MLflow does not show of deleted experiments."""

_OWN_IDS = ("run_uuid", "model_id", "source_id", "destination_id")


def without(rows: Rows, table: str, column: str, ids: set[str]) -> Rows:
    """Rows of whole objects without those that are there already."""
    twice = {row[column] for row in rows[table]} & ids
    if not twice:
        return rows
    return {
        name: [row for row in found if not twice & {row.get(k) for k in _OWN_IDS}]
        for name, found in rows.items()
    }
