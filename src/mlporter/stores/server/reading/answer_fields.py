"""The fields of a server's answers that this release knows, as data: whatever else comes is kept.

MLflow 1.0 to 3.17, from its protocol buffers and its FastAPI models; a test holds them against the
installed MLflow. What is known is read, or is told somewhere else as well (`latest_versions`, and
whole objects inside of others: the `model_definition` of a mapping).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANSWER_FIELDS", "OLD_TRACE", "POINT", "SPANS_FILE", "Fields", "fields"]


@dataclass(frozen=True)
class Fields:
    """What an object of an answer is known to have.

    Attributes:
        names: Of its fields.
        inside: Of those whose values are objects, or lists of objects, what these have. All other
            values are taken as they are: texts, numbers, and mappings with keys of the user's.
        called: In a list, what its elements are told apart by, if not by the usual names.
    """

    names: frozenset[str]
    inside: Mapping[str, Fields] = field(default_factory=dict)
    called: tuple[str, ...] = ()


def fields(names: str = "", called: tuple[str, ...] = (), **inside: Fields) -> Fields:
    """Fields with plain values, separated by spaces, and those with objects inside."""
    return Fields(frozenset(names.split()) | inside.keys(), MappingProxyType(inside), called)


_PAIR = fields("key value")
POINT = fields("key value timestamp step run_id model_id dataset_name dataset_digest")
"""A point of a metric."""
_MODEL_POINT = replace(POINT, called=("key", "step", "timestamp", "run_id"))
"""Of the points of a logged model several may be of one metric."""
SPANS_FILE = fields("spans")
"""The file in which a server sends spans. Spans themselves are kept as they come, and whole."""

_WHEN = "created_at created_by last_updated_at last_updated_by"
_SCORER = fields(
    "experiment_id scorer_name scorer_version serialized_scorer creation_time scorer_id"
)
_MODEL_DEFINITION = fields(
    f"model_definition_id name secret_id secret_name provider model_name {_WHEN}"
)
_GUARDRAIL = fields(f"guardrail_id name stage action action_endpoint_id {_WHEN} scorer")
_VERSION = (
    "name version creation_timestamp last_updated_timestamp user_id current_stage description "
    "source run_id status status_message run_link aliases model_id model_params model_metrics "
    "deployment_job_state"
)
_ERROR = fields("error_code error_message stack_trace")
_ASSESSMENT = fields(
    "assessment_id assessment_name trace_id span_id create_time last_update_time rationale "
    "metadata overrides valid",
    source=fields("source_type source_id"),
    feedback=fields("value", error=_ERROR),
    expectation=fields("value", serialized_value=fields("serialization_format value")),
    issue=fields("issue_name"),
    error=_ERROR,
)
_MCP_MADE = "created_by last_updated_by creation_timestamp last_updated_timestamp workspace"
_MCP_ALIAS = fields("alias version")
_MCP_PLACE = fields(
    f"id server_name server_version server_alias url transport_type resolved_version {_MCP_MADE}"
)

ANSWER_FIELDS: Mapping[str, Fields] = MappingProxyType(
    {
        "experiments": fields(
            "experiment_id name artifact_location lifecycle_stage last_update_time creation_time "
            "workspace effective_trace_archival_retention",
            tags=_PAIR,
        ),
        "runs": fields(
            info=fields(
                "run_id run_uuid run_name experiment_id user_id status start_time end_time "
                "artifact_uri lifecycle_stage name source_type source_name entry_point_name "
                "source_version"
            ),
            data=fields(metrics=POINT, params=_PAIR, tags=_PAIR),
            inputs=fields(
                dataset_inputs=fields(
                    called=("dataset.name", "dataset.digest"),
                    tags=_PAIR,
                    dataset=fields("name digest source_type source schema profile"),
                ),
                model_inputs=fields("model_id"),
            ),
            outputs=fields(model_outputs=fields("model_id step")),
        ),
        "metrics": POINT,
        "logged_models": fields(
            info=fields(
                "model_id experiment_id name creation_timestamp_ms last_updated_timestamp_ms "
                "artifact_uri status creator_id model_type source_run_id status_message "
                "registrations",
                tags=_PAIR,
            ),
            data=fields(params=_PAIR, metrics=_MODEL_POINT),
        ),
        "registered_models": fields(
            "name creation_timestamp last_updated_timestamp user_id description latest_versions "
            "deployment_job_id deployment_job_state",
            tags=_PAIR,
            aliases=fields("alias version"),
        ),
        "model_versions": fields(_VERSION, tags=_PAIR),
        "webhooks": fields(
            "webhook_id name description url status creation_timestamp last_updated_timestamp",
            events=fields("entity action"),
        ),
        "trace_info": fields(
            "trace_id client_request_id request response request_preview response_preview "
            "request_time execution_duration state trace_metadata tags",
            trace_location=fields(
                "type",
                mlflow_experiment=fields("experiment_id"),
                inference_table=fields("full_table_name"),
            ),
            assessments=_ASSESSMENT,
        ),
        "issues": fields(
            "issue_id experiment_id name description status severity root_causes source_run_id "
            "created_timestamp last_updated_timestamp created_by categories trace_count "
            "last_seen_timestamp last_updated_by metadata"
        ),
        "evaluation_datasets": fields(
            "dataset_id name tags schema profile digest created_time last_update_time created_by "
            "last_updated_by experiment_ids"
        ),
        "evaluation_dataset_records": fields(
            "dataset_record_id dataset_id inputs expectations tags source source_id source_type "
            "created_time last_update_time created_by last_updated_by outputs"
        ),
        "scorer_versions": _SCORER,
        "online_scoring_configs": fields(
            "online_scoring_config_id scorer_id sample_rate experiment_id filter_string"
        ),
        "label_schemas": fields(
            "schema_id experiment_id name type instruction enable_comment created_by created_at "
            "last_updated_at is_default",
            input=fields(
                pass_fail=fields("positive_label negative_label"),
                categorical=fields("options multi_select"),
                numeric=fields("min_value max_value"),
                text=fields("max_length"),
            ),
        ),
        "review_queues": fields(
            "queue_id experiment_id name queue_type created_by creation_time_ms "
            "last_update_time_ms users schema_ids"
        ),
        "review_queue_items": fields(
            "queue_id item_type item_id status completed_by completed_time_ms creation_time_ms "
            "last_update_time_ms"
        ),
        "model_definitions": _MODEL_DEFINITION,
        "endpoints": fields(
            f"endpoint_id name routing_strategy experiment_id usage_tracking {_WHEN}",
            model_mappings=fields(
                "mapping_id endpoint_id model_definition_id weight created_at created_by "
                "linkage_type fallback_order model_definition",
                called=("model_definition_id",),
            ),
            tags=_PAIR,
            fallback_config=fields("strategy max_attempts"),
        ),
        "endpoint_bindings": fields(f"endpoint_id resource_type resource_id display_name {_WHEN}"),
        "budget_policies": fields(
            "budget_policy_id budget_unit budget_amount target_scope budget_action target_value "
            f"{_WHEN}",
            duration=fields("unit value"),
        ),
        "guardrails": _GUARDRAIL,
        "guardrail_configs": fields(
            "endpoint_id guardrail_id execution_order created_by created_at guardrail"
        ),
        "mcp_servers": fields(
            f"name display_name description icons tags status latest_version {_MCP_MADE}",
            aliases=_MCP_ALIAS,
            access_endpoints=_MCP_PLACE,
        ),
        "mcp_server_versions": fields(
            f"name version server_json status tools source connect_options tags aliases {_MCP_MADE}"
        ),
        "skills": fields(
            "name organization workspace description icons status latest_version source_type tags "
            f"{_MCP_MADE}",
            aliases=_MCP_ALIAS,
        ),
        "skill_versions": fields(
            "name version organization workspace source_type source ref subpath digest status "
            f"aliases tags {_MCP_MADE}"
        ),
        "workspaces": fields(
            "name description default_artifact_root",
            trace_archival_config=fields("location retention"),
        ),
    }
)
"""By the table that the object is a row of."""

OLD_TRACE = fields(
    "request_id experiment_id timestamp_ms execution_time_ms status",
    request_metadata=_PAIR,
    tags=_PAIR,
)
"""A trace as MLflow 2 shows it."""
