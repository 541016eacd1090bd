"""What was sent, and somebody took away at the target, below things that are matched by name."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

import mlporter
from mlporter.errors import ConflictError
from tests.support.databases import dump, execute, rows
from tests.support.mlflow_session import mlflow_at
from tests.verbs.test_sync import RUN, Two

ALIASES = "SELECT alias, version FROM registered_model_aliases"


@pytest.fixture
def two(mlflow_sqlite_template, tmp_path):
    """Two databases in step: an experiment with a tag; a model with a version, alias and tag."""
    two = Two(mlflow_sqlite_template, tmp_path)
    two.run()
    two.model()
    execute(
        two.source,
        "INSERT INTO registered_model_tags (workspace, name, key, value)"
        " VALUES ('default', 'churn', 'team', 'a')",
        "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (0, 'team', 'a')",
    )
    mlporter.copy(two.source, two.target, artifacts="none")
    return two


def test_a_copy_says_that_it_makes_an_alias_again(two):
    execute(two.target, "DELETE FROM registered_model_aliases")
    plan = mlporter.copy(two.source, two.target, artifacts="none", dry_run=True)
    done = mlporter.copy(two.source, two.target, artifacts="none")
    assert rows(two.target, ALIASES) == [("champion", 1)]
    assert [(a.kind, a.unit) for a in done.actions.first] == [
        ("create", "registered_model_aliases")
    ]
    assert "was removed at the target" in done.actions.first[0].why
    assert plan.actions == done.actions


@pytest.mark.parametrize("table", ["registered_model_tags", "experiment_tags"])
def test_a_tag_that_somebody_took_away_is_a_conflict(two, table):
    execute(two.target, f"DELETE FROM {table}")
    before = dump(two.target)
    with pytest.raises(ConflictError, match="team"):
        mlporter.copy(two.source, two.target, artifacts="none")
    assert dump(two.target) == before
    done = mlporter.copy(two.source, two.target, artifacts="none", on_conflict="skip")
    assert (done.exit_code, dump(two.target)[table]) == (3, [])
    assert [(one.reason, "team" in one.detail) for one in done.left_out.first] == [
        ("conflict", True)
    ]


def test_new_rows_below_what_is_there_are_told(two):
    execute(
        two.source,
        "INSERT INTO registered_model_tags (workspace, name, key, value)"
        " VALUES ('default', 'churn', 'owner', 'b')",
    )
    done = mlporter.copy(two.source, two.target, artifacts="none")
    assert [(a.kind, a.unit) for a in done.actions.first] == [("update", "registered_models")]


def test_a_model_goes_with_what_is_left_of_versions_that_the_target_deleted(two):
    """Both sides deleted the version: nobody's work is lost, and nothing of it is left."""
    two.model(2, alias="second")
    mlporter.sync(two.source, two.target, artifacts="none")
    with mlflow_at(two.target):
        MlflowClient(two.target, two.target).delete_model_version("churn", "2")
    with mlflow_at(two.source):
        MlflowClient(two.source, two.source).delete_registered_model("churn")
    plan = mlporter.sync(two.source, two.target, artifacts="none", delete=True, dry_run=True)
    done = mlporter.sync(two.source, two.target, artifacts="none", delete=True)
    assert (done.exit_code, done.actions) == (0, plan.actions)
    assert not dump(two.target)["model_versions"]
    again = mlporter.sync(two.source, two.target, artifacts="none", delete=True)
    assert again.actions.total("create", "update", "move", "delete", "keep", "conflict") == 0


def test_a_link_that_somebody_took_away_stays_away(two):
    """A trace no more belongs to a run: sync leaves it so, and a copy tells that it comes back."""
    execute(
        two.source,
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status,"
        " db_payload_generation) VALUES ('tr-1', 0, 1, 'OK', 0)",
        "INSERT INTO entity_associations (association_id, source_type, source_id,"
        f" destination_type, destination_id) VALUES ('a', 'trace', 'tr-1', 'run', '{RUN}')",
    )
    mlporter.sync(two.source, two.target, artifacts="none")
    execute(two.target, "DELETE FROM entity_associations")
    plan = mlporter.sync(two.source, two.target, artifacts="none", dry_run=True)
    done = mlporter.sync(two.source, two.target, artifacts="none")
    assert (done.exit_code, done.actions) == (0, plan.actions)
    assert [(a.kind.value, a.unit) for a in done.actions.first] == [("keep", "entity_associations")]
    assert not dump(two.target)["entity_associations"]
    again = mlporter.copy(two.source, two.target, artifacts="none")
    assert len(dump(two.target)["entity_associations"]) == 1
    assert ["put back" in a.why for a in again.actions.first] == [True]
