"""Real servers of older MLflows, each in an environment of its own; see `environments`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlporter
from mlporter.errors import ExitCode
from tests.matrix.environments import NEEDS, python_of
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

LACKING = {
    "2.9.2": {"traces", "old traces", "logged models", "scorers", "gateway", "workspaces"},
    "2.22.1": {"traces", "logged models", "scorers", "gateway", "workspaces"},
    "3.1.4": {"scorers", "gateway", "workspaces"},
    "3.10.0": {"issues", "MCP servers", "label schemas"},
}


@pytest.fixture(scope="module", params=sorted(NEEDS))
def old(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Release, address, and what the release's own client reads there."""
    folder = tmp_path_factory.mktemp("old")
    python = python_of(request.param)
    url = sqlite_url(folder / "mlflow.db")
    with mlflow_server(url, folder / "files", python=python) as address:
        script = Path(__file__).with_name("old_registry.py")
        done = subprocess.run(
            [python, script, address],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **QUIET_ENVIRONMENT, "PYTHONPATH": ""},
        )
        yield request.param, address, json.loads(done.stdout.splitlines()[-1])


def test_what_the_server_is(old):
    release, address, _ = old
    said = {check.name.strip(): check.value for check in mlporter.doctor(address).checks}
    assert said["MLflow"] == release
    assert LACKING[release] <= set(said["has not"].split(", "))


def test_all_that_its_own_client_reads_is_read(old, tmp_path):
    _, address, expected = old
    result = mlporter.export(address, str(tmp_path / "backup"))
    assert [item for item in result.left_out.first if not item.expected] == []
    assert result.exit_code == ExitCode.OK
    with mlporter.open(str(tmp_path / "backup")) as bundle:
        rows = {
            table: bundle.read(table).read_all().to_pylist()
            for table in ("runs", "metrics", "model_versions", "experiments", "artifacts",
                          "trace_info", "logged_models", "registered_model_aliases")
        }  # fmt: skip
    assert {r["run_uuid"]: r["lifecycle_stage"] for r in rows["runs"]} == expected["runs"]
    for run, points in expected["points"].items():
        found = [
            [row["step"], row["timestamp"]]
            for row in rows["metrics"]
            if (row["run_uuid"], row["key"]) == (run, "m")
        ]
        assert sorted(found) == sorted(points)
    assert sum(row["is_nan"] for row in rows["metrics"]) == 3
    assert {row["version"] for row in rows["model_versions"]} == set(expected["versions"]) == {1, 3}
    assert {row["name"] for row in rows["experiments"]} == set(expected["experiments"])
    assert {row["request_id"] for row in rows["trace_info"]} == set(expected["traces"])
    assert {row["model_id"] for row in rows["logged_models"]} == set(expected["models"])
    assert [row["alias"] for row in rows["registered_model_aliases"]] == ["champion"]
    paths = [row["path"] for row in rows["artifacts"] if row["owner_kind"] == "run"]
    assert paths == ["deep/file.txt"] * 3


def test_a_second_reading_finds_the_same(old, tmp_path):
    _, address, _ = old
    mlporter.export(address, str(tmp_path / "backup"))
    report = mlporter.verify(str(tmp_path / "backup"), against=address)
    assert report.exit_code == ExitCode.OK
