"""`--workspace team-b --to-workspace team-c`: everything goes there, and stays apart."""

from __future__ import annotations

import mlflow
import pytest

import mlporter
from mlporter.errors import UsageError
from tests.support.databases import dump, rows
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.observed import differences, observe
from tests.support.rich_models import EXAMPLE_INPUT, MODEL_NAME
from tests.support.rich_runs import EXPERIMENT_NAME
from tests.transfer.merge.references import dangling

TEAM_B = mlporter.Selection(workspaces=("team-b",))


def moved(source, target, tmp_path, **options):
    return mlporter.copy(
        source, target, artifact_root=str(tmp_path / "root"), selection=TEAM_B, **options
    )


def predict(url, workspace):
    with mlflow_at(url, workspaces=True):
        mlflow.set_workspace(workspace)
        model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
        found = list(model.predict(EXAMPLE_INPUT))
        mlflow.set_workspace("default")
    return found


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
    assert predict(target, "team-c") == [5 * x for x in EXAMPLE_INPUT]
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
    assert predict(target, "team-b") == predict(target, "team-c")


def test_several_workspaces_are_not_put_into_one(rich_sqlite_workspaces, mlflow_sqlite, tmp_path):
    with pytest.raises(UsageError, match="takes one workspace, and these are 2") as caught:
        mlporter.copy(
            rich_sqlite_workspaces.tracking_uri,
            sqlite_url(mlflow_sqlite),
            artifact_root=str(tmp_path / "root"),
            to_workspace="team-c",
        )
    assert "--workspace" in caught.value.hint
