"""Everything that the newest MLflow can hold, into servers of older ones."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import ExitCode
from tests.matrix.environments import NEEDS, python_of
from tests.support.databases import rows
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

_COPIES = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
ids = [e.experiment_id for e in client.search_experiments(view_type=3)]
runs = client.search_runs(ids, run_view_type=3, max_results=1000)
print(*sorted(run.data.tags["mlporter.source.run_id"] for run in runs))
"""
"""Asks an old MLflow which runs a server has copies of."""

_SOONEST = {"gateway": (3, 10), "webhooks": (3, 10), "traces": (3, 10), "logged models": (3, 1)}
"""The first release of the matrix that has something, by the word that is said where it lacks."""


@pytest.mark.parametrize("release", sorted(NEEDS))
def test_what_an_old_server_cannot_hold_is_listed_each_time(
    release, rich_sqlite_template, tmp_path: Path
):
    """All runs arrive; nothing is otherwise than it was sent; a second import changes nothing."""
    source, python = rich_sqlite_template.tracking_uri, python_of(release)
    url = sqlite_url(tmp_path / "mlflow.db")
    with mlflow_server(url, tmp_path / "files", python=python) as address:
        first = mlporter.copy(source, address)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", _COPIES, address],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **QUIET_ENVIRONMENT, "PYTHONPATH": ""},
        )
        again = mlporter.copy(source, address)
    runs = [run for (run,) in rows(source, "SELECT run_uuid FROM runs ORDER BY run_uuid")]
    assert done.stdout.splitlines()[-1].split() == runs
    left = [item for item in first.left_out.first if not item.expected]
    assert "not-as-sent" not in {item.reason for item in left}
    number = tuple(map(int, release.split(".")[:2]))
    for family, soonest in _SOONEST.items():
        said = any(item.detail.endswith(f"has no {family}") for item in left)
        assert said == (number < soonest), family
    assert (first.exit_code, again.exit_code) == (ExitCode.INCOMPLETE, ExitCode.INCOMPLETE)
    assert (again.rows, again.files.stored_files) == (0, 0)
    assert told(again) == told(first)


def told(result):
    """What was left out, by name."""
    return sorted((item.kind, item.id, item.path) for item in result.left_out.first)
