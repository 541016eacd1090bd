"""mlporter beside the oldest and the newest MLflow that it works with, each installed here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.matrix.environments import LOWEST, NEWEST, beside_lowest, beside_newest
from tests.support.mlflow_session import QUIET_ENVIRONMENT

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(3000)]

CHECKOUT = Path(__file__).parents[2]
HOLDING_ONLY_THERE = (
    "tests/catalogue/test_against_mlflow.py",
    "tests/catalogue/test_real_rows.py",
    "tests/verbs/test_round_trip.py",
    "tests/verbs/test_skills.py",
    "tests/execute/server/test_rich.py",
    "tests/stores/database/history/test_every_revision.py",
)
"""Tests whose outcome depends on the schema and the objects of the installed MLflow."""

BESIDE = {LOWEST: beside_lowest, NEWEST: beside_newest}
ENDS = [(release, version) for release in BESIDE for version in ("3.10", "3.13")]
"""The oldest and the newest MLflow, with the oldest and the newest Python."""

USE = """
import sys, mlflow, mlporter
client = mlflow.MlflowClient("sqlite:///one.db")
experiment = client.create_experiment("e", artifact_location="files")
run = client.create_run(experiment).info.run_id
client.log_metric(run, "rmse", 0.5)
client.log_text(run, "text", "file.txt")
other = client.create_run(experiment).info.run_id
client.log_metric(other, "rmse", 1.5)
chosen = mlporter.Selection(filter="metrics.rmse < 1")
assert mlporter.export("sqlite:///one.db", "part", selection=chosen).exit_code == 0
assert mlporter.import_("part", "sqlite:///two.db", artifact_root="there").exit_code == 0
found = mlflow.MlflowClient("sqlite:///two.db").search_runs([experiment])
assert [found.info.run_id for found in found] == [run]
print(mlflow.__version__, "{}.{}".format(*sys.version_info))
"""
"""An empty schema, MLflow's filters, files: what mlporter has of the installed MLflow."""


def run(
    python: Path, folder: Path, *words: str, state: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Python in a folder, which also gets what mlporter remembers, unless that goes elsewhere."""
    kept = str(state or folder / "state")
    quiet = {**QUIET_ENVIRONMENT, "XDG_STATE_HOME": kept, "PYTHONPATH": ""}
    return subprocess.run(
        [python, "-W", "ignore", *words],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, **quiet},
    )


@pytest.mark.parametrize(("release", "version"), ENDS)
def test_the_demo_ends_well(release, version, tmp_path):
    done = run(BESIDE[release](version), tmp_path, "-m", "mlporter", "demo")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("release", "version"), ENDS)
def test_what_it_has_of_mlflow_is_there(release, version, tmp_path):
    done = run(BESIDE[release](version), tmp_path, "-c", USE)
    last = [f"{release} {version}"]
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, last), done.stdout


def test_the_newest_mlflow_passes_what_depends_on_it(tmp_path):
    words = ("-m", "pytest", "-q", "-n", "2", "-p", "no:randomly", *HOLDING_ONLY_THERE)
    ignored = ("-W", "ignore:Versions of mlflow:UserWarning")
    done = run(beside_newest(), CHECKOUT, *words, *ignored, state=tmp_path)
    assert done.returncode == 0, done.stdout
