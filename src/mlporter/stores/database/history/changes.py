"""What each revision of MLflow's schema brought: new tables, and new columns with their values.

Taken from the scripts in ``mlflow/store/db_migrations/versions``; a test walks through them and
holds this table against the schema that each leaves behind. Revisions that only changed indexes,
constraints or lengths are not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHANGES", "Change"]

_DEFAULT = "'default'"
_NULL = "NULL"


@dataclass(frozen=True)
class Change:
    """What one revision brought.

    Attributes:
        revision: Its id.
        tables: New tables; empty, unless `relations` knows what went into them.
        columns: By table, new columns with the SQL of the value that rows got which were there.
    """

    revision: str
    tables: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _nulls(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _NULL)


_TOKENS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
_COSTS = ("input_cost", "output_cost", "total_cost")
_WITH_WORKSPACE = (
    "experiments",
    "registered_models",
    "model_versions",
    "registered_model_tags",
    "model_version_tags",
    "registered_model_aliases",
    "evaluation_datasets",
    "webhooks",
    "secrets",
    "endpoints",
    "model_definitions",
    "jobs",
)

CHANGES: tuple[Change, ...] = (
    Change("181f10493468", columns={"metrics": {"is_nan": "0"}}),
    Change("df50e92ffc5e", ("experiment_tags",)),
    Change("89d4b8295536", ("latest_metrics",)),
    Change("2b4d017a5e9b", ("registered_models", "model_versions")),
    Change("728d730b5ebd", ("registered_model_tags",)),
    Change("27a6a02d2cf1", ("model_version_tags",)),
    Change("84291f40a231", columns={"model_versions": _nulls("run_link")}),
    Change("0c779009ac13", columns={"runs": _nulls("deleted_time")}),
    Change("97727af70f4d", columns={"experiments": _nulls("creation_time", "last_update_time")}),
    Change("3500859a5d39", ("registered_model_aliases",)),
    Change("7f2a7d5fae7d", ("datasets", "inputs", "input_tags")),
    Change("acf3f17fdcc7", columns={"model_versions": _nulls("storage_location")}),
    Change("867495a8f9d4", ("trace_info", "trace_tags", "trace_request_metadata")),
    Change(
        "400f98739977",
        ("logged_models", "logged_model_metrics", "logged_model_params", "logged_model_tags"),
    ),
    Change("6953534de441", columns={"inputs": {"step": "0"}}),
    Change(
        "cbc13b556ace",
        columns={
            "trace_info": _nulls("client_request_id", "request_preview", "response_preview"),
        },
    ),
    Change("770bee3ae1dd", ("assessments",)),
    Change("a1b2c3d4e5f6", ("spans",)),
    Change("de4033877273", ("entity_associations",)),
    Change("1a0cddfcaa16", ("webhooks", "webhook_events")),
    Change("534353b11cbc", ("scorers", "scorer_versions")),
    Change(
        "71994744cf8e",
        ("evaluation_datasets", "evaluation_dataset_tags", "evaluation_dataset_records"),
    ),
    Change("3da73c924c2f", columns={"evaluation_dataset_records": _nulls("outputs")}),
    Change("bf29a5ff90ea", ("jobs",)),
    Change(
        "1bd49d398cd23",
        (
            "secrets",
            "endpoints",
            "model_definitions",
            "endpoint_model_mappings",
            "endpoint_bindings",
            "endpoint_tags",
        ),
    ),
    Change("b7c8d9e0f1a2", ("trace_metrics",)),
    Change("5d2d30f0abce", columns={"jobs": {"job_name": '"function_fullname"'}}),
    Change(
        "c9d4e5f6a7b8",
        columns={
            "endpoints": _nulls("routing_strategy", "fallback_config_json"),
            "endpoint_model_mappings": {"linkage_type": "'PRIMARY'", "fallback_order": _NULL},
        },
    ),
    Change("2c33131f4dae", ("online_scoring_configs",)),
    Change("d3e4f5a6b7c8", columns={"endpoint_bindings": _nulls("display_name")}),
    Change("d0e1f2a3b4c5", columns={"endpoints": {"experiment_id": _NULL, "usage_tracking": "0"}}),
    # And `spans.dimension_attributes`, which did not last: see RETIRED_COLUMNS.
    Change("c8d9e0f1a2b3", ("span_metrics",)),
    Change(
        "1b5f0d9ad7c1",
        ("workspaces",),
        {table: {"workspace": _DEFAULT} for table in _WITH_WORKSPACE},
    ),
    Change("e1f2a3b4c5d6", ("budget_policies",)),
    Change("76601a5f987d", ("issues",)),
    Change("c3d6457b6d8a", columns={"jobs": _nulls("status_details")}),
    Change("ae8bbe7743c9", ("guardrails", "guardrail_configs")),
    Change(
        "da6fb0208061",
        columns={
            "trace_info": {"db_payload_generation": "0"},
            "workspaces": _nulls("trace_archival_location", "trace_archival_retention"),
        },
    ),
    Change("89d3d66ed43f", ("label_schemas",)),
    Change(
        "b7e4c1a90f23",
        (
            "review_queues",
            "review_queue_users",
            "review_queue_items",
            "review_queue_label_schemas",
        ),
    ),
    Change(
        "a8b9c0d1e2f3",
        (
            "mcp_servers",
            "mcp_server_versions",
            "mcp_server_tags",
            "mcp_server_version_tags",
            "mcp_server_aliases",
            "mcp_access_endpoints",
        ),
    ),
    Change("c3d9e7f1a2b4", columns={"budget_policies": _nulls("target_value")}),
    Change("b7e2c1a4d9f3", columns={"jobs": _nulls("creator")}),
    # Whatever these columns hold was moved there: see `traces`.
    Change(
        "75868b020152",
        (
            "sql_trace_metric_daily_rollups",
            "sql_span_cost_daily_rollups",
            "sql_assessment_daily_rollups",
            "sql_trace_rollup_rebuild_queue",
        ),
        {
            "trace_info": _nulls("trace_name", "session_id", *_TOKENS, *_COSTS),
            "assessments": _nulls(
                "experiment_id", "trace_timestamp_ms", "aggregate_value", "is_numeric_value"
            ),
            "spans": _nulls(*_COSTS, "model_name", "model_provider"),
        },
    ),
    Change(
        "dc11669786a5",
        ("scheduler_leases", "job_locks"),
        {
            "jobs": _nulls(
                "executor_backend",
                "lease_expires_at",
                "status_message",
                "progress",
                "progress_updated_at",
                "token_hash",
                "scoped_permissions",
                "next_attempt_at",
            )
        },
    ),
    Change(
        "e7d1f4b2a9c6",
        ("skills", "skill_versions", "skill_tags", "skill_version_tags", "skill_aliases"),
    ),
    Change(
        "8b6ad64cb8f5",
        ("issue_categories",),
        {
            "issues": {
                "last_seen_timestamp": '"created_timestamp"',
                **_nulls("last_updated_by", "metadata"),
            }
        },
    ),
)
"""All of them, oldest first."""
