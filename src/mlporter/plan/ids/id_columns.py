"""Which columns hold ids that may change: told from the catalogue's references, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table

__all__ = ["ID_COLUMNS", "IdColumn", "holds_model_name", "id_columns"]


@dataclass(frozen=True)
class IdColumn:
    """A column that holds ids of rows of `table`, in rows in which ``where`` holds (or in all)."""

    column: str
    table: str
    where: tuple[str, str] | None = None


ID_COLUMNS = {
    "runs": "run_uuid",
    "logged_models": "model_id",
    "trace_info": "request_id",
    "datasets": "dataset_uuid",
    "inputs": "input_uuid",
    "assessments": "assessment_id",
    "issues": "issue_id",
    "evaluation_datasets": "dataset_id",
    "evaluation_dataset_records": "dataset_record_id",
    "scorers": "scorer_id",
    "online_scoring_configs": "online_scoring_config_id",
    "label_schemas": "schema_id",
    "review_queues": "queue_id",
    "secrets": "secret_id",
    "model_definitions": "model_definition_id",
    "endpoints": "endpoint_id",
    "endpoint_model_mappings": "mapping_id",
    "budget_policies": "budget_policy_id",
    "guardrails": "guardrail_id",
    "webhooks": "webhook_id",
    "mcp_access_endpoints": "id",
}
"""Tables whose rows may get another id, and the column that holds it."""

_COMPOSITE = {
    "spans": (IdColumn("trace_id", "trace_info"),),
    "span_metrics": (IdColumn("trace_id", "trace_info"),),
    "guardrails": (IdColumn("scorer_id", "scorers"),),
}
"""Parts of references of several columns."""

_MODEL_TABLES = (
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
)


def holds_model_name(table: str) -> bool:
    """Whether a table has a registered model's name in ``workspace`` and ``name``."""
    return table in _MODEL_TABLES


@cache
def id_columns(table: str) -> tuple[IdColumn, ...]:
    """The columns of a table of the catalogue that hold ids of rows (its own among them)."""
    entry = BY_NAME.get(table)
    return tuple(dict.fromkeys(_found(entry))) if entry is not None else ()


def _found(table: Table) -> Iterator[IdColumn]:
    if table.name in ID_COLUMNS:
        yield IdColumn(ID_COLUMNS[table.name], table.name)
    yield from _COMPOSITE.get(table.name, ())
    for reference in table.references:
        target = ID_COLUMNS.get(reference.table)
        if target is not None and reference.targets == (target,):
            yield IdColumn(reference.columns[0], reference.table, reference.where)
