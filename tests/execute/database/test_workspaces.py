"""Workspaces: the same names in two of them never meet.

Issue of mlflow-export-import (PEERS.md): workspaces (#248).
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from tests.support.databases import rows
from tests.support.mlflow_session import sqlite_url
from tests.support.observed import differences, observe
from tests.support.rich_models import EXAMPLE_INPUT, MODEL_NAME, champion_predictions
from tests.support.rich_registry import copy_with_artifacts
from tests.support.rich_runs import EXPERIMENT_NAME


@pytest.fixture(scope="module")
def exported(rich_workspaces_template, tmp_path_factory):
    """The rich registry with workspace ``team-b`` in a bundle; then its files are moved away."""
    folder = tmp_path_factory.mktemp("workspaces")
    rich = copy_with_artifacts(rich_workspaces_template, folder / "rich")
    mlporter.export(rich.tracking_uri, str(folder / "bundle"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        seen = {name: observe(rich.tracking_uri, name) for name in ("default", "team-b")}
    Path(rich.artifact_root).rename(folder / "moved")
    return seen, folder / "bundle"


@pytest.fixture
def moved(exported, monkeypatch):
    """That, and MLflow set to use workspaces."""
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    return exported


def test_a_second_workspace_arrives_whole_and_apart(moved, mlflow_postgres_url, tmp_path):
    seen, bundle = moved
    root = tmp_path / "root"
    assert mlporter.import_(
        str(bundle), mlflow_postgres_url, artifact_root=str(root)
    ).exit_code == 0  # fmt: skip
    # Before MLflow looks: it adds a label schema of its own to experiments that it is asked for.
    assert mlporter.diff(str(bundle), mlflow_postgres_url).identical
    for name in ("default", "team-b"):
        assert differences(seen[name], observe(mlflow_postgres_url, name)) == []
    assert champion_predictions(mlflow_postgres_url, "default") == [3 * x for x in EXAMPLE_INPUT]
    assert champion_predictions(mlflow_postgres_url, "team-b") == [5 * x for x in EXAMPLE_INPUT]


def test_files_of_a_workspace_lie_where_mlflow_would_put_them(moved, mlflow_sqlite, tmp_path):
    _, bundle = moved
    url, root = sqlite_url(mlflow_sqlite), tmp_path / "root"
    mlporter.import_(str(bundle), url, artifact_root=str(root))
    places = dict(
        rows(
            url,
            "SELECT workspace, artifact_location FROM experiments"
            f" WHERE name = '{EXPERIMENT_NAME}'",
        )
    )
    assert places["default"] == f"{root}/1"
    assert places["team-b"].startswith(f"{root}/workspaces/team-b/")
    assert any(Path(places["team-b"]).rglob("MLmodel"))
    assert rows(url, "SELECT default_artifact_root FROM workspaces WHERE name = 'team-b'") == [
        (f"{root}/workspaces/team-b",)
    ]


def test_inspect_names_the_workspace_of_everything(moved):
    _, bundle = moved
    inventory = mlporter.inspect(str(bundle))
    assert inventory.workspaces == ("default", "team-b")
    same_name = {e.workspace: e.runs for e in inventory.experiments if e.name == EXPERIMENT_NAME}
    assert set(same_name) == {"default", "team-b"}
    assert same_name["team-b"] == 1
    models = {m.workspace: len(m.versions) for m in inventory.models if m.name == MODEL_NAME}
    assert models == {"default": 5, "team-b": 1}


def test_unpack_keeps_workspaces_apart(moved, tmp_path):
    _, bundle = moved
    out = tmp_path / "out"
    mlporter.unpack(str(bundle), str(out), model=MODEL_NAME, version="@champion")
    assert (out / MODEL_NAME / "3" / "MLmodel").exists()
    assert (out / "workspaces" / "team-b" / MODEL_NAME / "1" / "MLmodel").exists()
