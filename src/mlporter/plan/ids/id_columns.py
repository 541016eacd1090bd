"""Which columns hold ids that may change: found by the catalogue's references, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table

__all__ = ["ID_COLUMNS", "IdColumn", "id_columns", "ids_in", "names_in", "numbers_in"]


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


@cache
def id_columns(table: str) -> tuple[IdColumn, ...]:
    """The columns of a table of the catalogue that hold ids of rows (its own among them)."""
    entry = BY_NAME.get(table)
    return tuple(dict.fromkeys(_found(entry))) if entry is not None else ()


def ids_in(entry: Table) -> tuple[IdColumn, ...]:
    """The columns of a table as it is here: those of the catalogue, and what refers besides."""
    if not _has_more(entry):
        return id_columns(entry.name)
    more = (
        IdColumn(column, reference.table, reference.where)
        for reference in entry.references
        for column, target in zip(reference.columns, reference.targets, strict=True)
        if ID_COLUMNS.get(reference.table) == target
    )
    return tuple(dict.fromkeys((*id_columns(entry.name), *more)))


def numbers_in(entry: Table) -> tuple[str, ...]:
    """The columns of a table that hold an experiment's number."""
    names = ["experiment_id"] if "experiment_id" in entry.by_name else []
    if _has_more(entry):
        names += [r.columns[0] for r in entry.references if r.targets == ("experiment_id",)]
    return tuple(dict.fromkeys(names))


def names_in(entry: Table) -> tuple[tuple[str, str], ...]:
    """The columns of a table that hold a registered model's workspace and name."""
    if entry.name in _MODEL_TABLES:
        return (("workspace", "name"),)
    if not _has_more(entry):
        return ()
    pairs = [
        dict(zip(reference.targets, reference.columns, strict=True))
        for reference in entry.references
        if reference.table in _MODEL_TABLES
    ]
    found = [
        (pair["workspace"], pair["name"]) for pair in pairs if {"workspace", "name"} <= {*pair}
    ]
    return tuple(dict.fromkeys(found))


def _has_more(entry: Table) -> bool:
    """Whether a table refers to others in ways that the catalogue does not know."""
    known = BY_NAME.get(entry.name)
    return known is None or entry.references is not known.references


def _found(table: Table) -> Iterator[IdColumn]:
    if table.name in ID_COLUMNS:
        yield IdColumn(ID_COLUMNS[table.name], table.name)
    yield from _COMPOSITE.get(table.name, ())
    for reference in table.references:
        target = ID_COLUMNS.get(reference.table)
        if target is not None and reference.targets == (target,):
            yield IdColumn(reference.columns[0], reference.table, reference.where)
