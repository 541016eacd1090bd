"""`--workspace team-b --to-workspace team-c`: everything goes there, and stays apart."""

from __future__ import annotations

import pytest

import mlporter
from mlporter.errors import UsageError
from tests.plan.references import dangling
from tests.support.databases import dump, rows
from tests.support.mlflow_session import sqlite_url
from tests.support.observed import differences, observe
from tests.support.rich_models import EXAMPLE_INPUT, champion_predictions
from tests.support.rich_runs import EXPERIMENT_NAME

TEAM_B = mlporter.Selection(workspaces=("team-b",))


def moved(source, target, tmp_path, **options):
    return mlporter.copy(
        source, target, artifact_root=str(tmp_path / "root"), selection=TEAM_B, **options
    )


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_workspace_arrives_under_another_name(rich_sqlite_workspaces, request, engine, tmp_path):
    target = (
        sqlite_url(request.getfixturevalue("mlflow_sqlite"))
        if engine == "sqlite"
        else request.getfixturevalue("mlflow_postgres_url")
    )
    source = rich_sqlite_workspaces.tracking_uri
    seen = observe(source, "team-b")
    result = moved(source, target, tmp_path, to_workspace="team-c")
    assert result.exit_code == 0
    assert {name for (name,) in rows(target, "SELECT name FROM workspaces")} == {
        "default",
        "team-c",
    }
    found = differences(seen, observe(target, "team-c"))
    assert found
    assert [line for line in found if not line.endswith("workspace: 'team-b' != 'team-c'")] == []
    assert champion_predictions(target, "team-c") == [5 * x for x in EXAMPLE_INPUT]
    after = dump(target)
    assert moved(source, target, tmp_path, to_workspace="team-c").rows == 0
    assert dump(target) == after


def test_a_workspace_goes_beside_another_that_has_the_same_names(rich_sqlite_workspaces, tmp_path):
    """Names are unique per workspace only: nothing of the workspace ``default`` is in the way."""
    source = rich_sqlite_workspaces.tracking_uri
    target = sqlite_url(tmp_path / "copy.db")
    mlporter.copy(source, target, artifact_root=str(tmp_path / "first"))
    before = dump(target)
    result = moved(source, target, tmp_path, to_workspace="team-c", on_conflict="rename")
    assert result.exit_code == 0
    assert not result.conflicts
    for table, lines in before.items():
        assert set(lines) <= set(dump(target)[table]), table
    found = rows(target, f"SELECT workspace FROM experiments WHERE name = '{EXPERIMENT_NAME}'")
    assert sorted(found) == [("default",), ("team-b",), ("team-c",)]
    assert set(dangling(target)) == set(dangling(source))
    assert champion_predictions(target, "team-b") == champion_predictions(target, "team-c")


def test_several_workspaces_are_not_put_into_one(rich_sqlite_workspaces, mlflow_sqlite, tmp_path):
    with pytest.raises(UsageError, match="takes one workspace, and these are 2") as caught:
        mlporter.copy(
            rich_sqlite_workspaces.tracking_uri,
            sqlite_url(mlflow_sqlite),
            artifact_root=str(tmp_path / "root"),
            to_workspace="team-c",
        )
    assert "--workspace" in caught.value.hint


@pytest.mark.parametrize("name", ["Team B", "-team", "a", "x" * 64, "team/b", "team\n"])
def test_a_name_that_mlflow_would_not_take_is_wrong_usage(name):
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 -- the judge
    from mlflow.store.workspace.abstract_store import WorkspaceNameValidator  # noqa: PLC0415

    if name != "team\n":  # which MLflow's pattern overlooks
        with pytest.raises(MlflowException):
            WorkspaceNameValidator.validate(name)
    with pytest.raises(UsageError, match="not a valid name for a workspace"):
        mlporter.copy("sqlite:///a.db", "sqlite:///b.db", to_workspace=name)
