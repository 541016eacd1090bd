"""Every table and reference of the catalogue has its place in a selection."""

from __future__ import annotations

import pytest

from mlporter.catalogue import BY_NAME, TABLES
from mlporter.catalogue.types import Form
from mlporter.selection.links import EDGES, NOT_FOLLOWED, Shape

SHAPE = Shape.of(TABLES)


def test_every_row_is_chosen_or_belongs_to_something_that_is():
    for table in TABLES:
        assert table.name in EDGES or SHAPE.owner(table.name) is not None, table.name


@pytest.mark.parametrize(
    ("table", "entity", "columns"),
    [
        ("runs", "runs", ("run_uuid",)),
        ("metrics", "runs", ("run_uuid",)),
        ("datasets", "datasets", ("dataset_uuid",)),
        ("span_metrics", "trace_info", ("trace_id",)),
        ("model_version_tags", "model_versions", ("workspace", "name", "version")),
        ("mcp_access_endpoints", "mcp_servers", ("workspace", "server_name")),
        ("online_scoring_configs", "scorers", ("scorer_id",)),
        ("input_tags", "inputs", ("input_uuid",)),
        ("guardrail_configs", "endpoints", ("endpoint_id",)),
    ],
)
def test_what_rows_belong_to(table, entity, columns):
    owner = SHAPE.owner(table)
    assert (owner.entity, owner.columns) == (entity, columns)


def followed():
    """Table, column and target of everything that is followed."""
    return {
        (group.table, link.end.columns[-1], link.end.where and link.end.where[1], link.end.entity)
        for groups in SHAPE.groups.values()
        for group in groups
        for link in group.links
    }


def test_every_enforced_reference_is_followed_or_is_what_a_row_belongs_to():
    links = followed()
    for table in TABLES:
        owner = SHAPE.owner(table.name)
        for reference in table.references:
            if not reference.enforced or table.name in EDGES:
                continue
            is_owner = set(owner.columns) <= set(reference.columns)
            found = any(
                name == table.name and column in reference.columns for name, column, *_ in links
            )
            assert found or is_owner, (table.name, reference)


@pytest.mark.parametrize(
    "link",
    [
        ("tags", "value", "mlflow.parentRunId", "runs"),
        ("tags", "value", "mlflow.log-model.history", "logged_models"),
        ("inputs", "source_id", "DATASET", "datasets"),
        ("inputs", "destination_id", "MODEL_INPUT", "logged_models"),
        ("inputs", "destination_id", "MODEL_OUTPUT", "logged_models"),
        ("logged_models", "source_run_id", None, "runs"),
        ("logged_model_metrics", "run_id", None, "runs"),
        ("logged_model_metrics", "dataset_uuid", None, "datasets"),
        ("datasets", "dataset_source", "mlflow_evaluation_dataset", "evaluation_datasets"),
        ("model_versions", "run_id", None, "runs"),
        ("model_versions", "source", None, "logged_models"),
        ("trace_request_metadata", "value", "mlflow.sourceRun", "runs"),
        ("trace_request_metadata", "value", "mlflow.modelId", "logged_models"),
        ("assessments", "name", "issue", "issues"),
        ("issues", "source_run_id", None, "runs"),
        ("guardrails", "scorer_id", None, "scorers"),
        ("model_definitions", "secret_id", None, "secrets"),
        ("experiments", "workspace", None, "workspaces"),
        ("review_queue_items", "item_id", "trace", "trace_info"),
    ],
)
def test_what_is_followed(link):
    assert link in followed()


def test_no_reference_is_left_unfollowed_that_is_not_there():
    there = set()
    for table in TABLES:
        for reference in table.references:
            where = reference.where[1] if reference.where else ""
            there.add((table.name, reference.columns[0], where))
        for hidden in table.hidden:
            names = (hidden.where[1],) if hidden.where else hidden.fields or ("",)
            there |= {(table.name, hidden.column, name) for name in names}
    assert there >= NOT_FOLLOWED


def test_every_hidden_reference_is_followed_or_listed():
    links = {(table, column, where or "") for table, column, where, _ in followed()}
    for table in TABLES:
        for hidden in table.hidden:
            is_version = hidden.form is Form.URI and hidden.table == "registered_models"
            if table.name in EDGES or is_version:
                continue
            names = (hidden.where[1],) if hidden.where else hidden.fields or ("",)
            keys = {(table.name, hidden.column, name) for name in (*names, "")}
            assert keys & (NOT_FOLLOWED | links), (table.name, hidden)


def test_an_older_schema_has_the_shape_of_its_columns():
    """Before 3.10 there were no workspaces, before 3.0 no logged models."""
    old = [
        table.only(frozenset(table.by_name) - {"workspace"})
        for table in TABLES
        if table.name not in {"workspaces", "logged_models"}
    ]
    shape = Shape.of(old)
    assert shape.identity("model_versions") == ("name", "version")
    assert shape.owner("model_version_tags").columns == ("name", "version")
    assert not any(
        link.end.entity in {"workspaces", "logged_models"}
        for groups in shape.groups.values()
        for group in groups
        for link in group.links
    )
    assert BY_NAME["model_versions"].key == ("workspace", "name", "version")
