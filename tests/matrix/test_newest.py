"""The newest MLflow beside a mlporter of today: upgrade day stops no backup, and no restore."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import ExitCode
from tests.matrix.environments import beside_newest
from tests.support.databases import rows
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

HEAD = "f4a9b2c7d1e6"
FILLED_IN = {"issues", "issue_categories"}
"""Tables in which its upgrade writes."""


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    """Runs a command where that MLflow is installed; returns the exit code."""
    python = beside_newest()
    state = str(tmp_path_factory.mktemp("state"))

    def run(*words: object) -> int:
        done = subprocess.run(
            [python, "-W", "ignore", "-m", "mlporter", *map(str, words)],
            check=False,
            env={**os.environ, **QUIET_ENVIRONMENT, "XDG_STATE_HOME": state},
        )
        return done.returncode

    return run


@pytest.fixture(scope="module")
def restored(
    newest: Callable[..., int], rich_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A bundle of today, restored with it into a new database. Do not touch."""
    folder = tmp_path_factory.mktemp("restored")
    url = sqlite_url(folder / "mlflow.db")
    words = ("import", rich_bundle, url, "--artifact-root", folder / "root", "-q")
    assert newest(*words) in {ExitCode.OK, ExitCode.INCOMPLETE}  # secrets may have stayed behind
    return url


def different(report: mlporter.DiffReport) -> set[str]:
    return {table for table, counts in report.tables.items() if counts.different}


def test_a_bundle_of_today_is_restored_and_upgraded(restored, rich_bundle):
    assert rows(restored, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert different(mlporter.diff(str(rich_bundle), restored)) <= FILLED_IN


def test_its_database_is_read_where_it_is_not_installed(restored, newest, tmp_path):
    bundle = tmp_path / "bundle"
    mlporter.export(restored, str(bundle))
    assert mlporter.verify(str(bundle), against=restored).exit_code == ExitCode.OK
    url = sqlite_url(tmp_path / "new.db")
    words = ("import", bundle, url, "--artifact-root", tmp_path / "root", "-q")
    assert newest(*words) in {ExitCode.OK, ExitCode.INCOMPLETE}
    assert different(mlporter.diff(restored, url)) == set()


def test_into_its_database_in_use_goes_what_it_makes_of_today_s_rows(
    restored, newest, plain_sqlite, tmp_path
):
    path = Path(shutil.copy(restored.removeprefix("sqlite:///"), tmp_path / "used.db"))
    url = sqlite_url(path)
    words = ("copy", plain_sqlite.tracking_uri, url, "--artifact-root", tmp_path / "root", "-q")
    assert newest(*words) == ExitCode.OK
    assert newest(*words) == ExitCode.OK
    for run in plain_sqlite.run_ids:
        assert rows(url, f"SELECT count(*) FROM runs WHERE run_uuid = '{run}'") == [(1,)]
