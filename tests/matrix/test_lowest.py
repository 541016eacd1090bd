"""mlporter beside the oldest MLflow that it works with: what its places hold, and what not."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import ExitCode
from tests.matrix.environments import LOWEST, beside_lowest
from tests.support.databases import execute, rows
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

MANY = """
import contextlib, io, json, sys
from mlporter.cli.app import run
told = []
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(argv)
    told.append([code, out.getvalue() + err.getvalue()])
print(json.dumps(told))
"""
REVISION = "0584bdc529eb"
SAMPLE = Path(__file__).parents[2] / "samples" / "bundle-format-1"


@dataclass
class Lowest:
    """Registries of that MLflow, and a server to copy to."""

    folder: Path
    source: str
    target: str

    @property
    def database(self) -> str:
        """The source server's own."""
        return sqlite_url(self.folder / "source.db")

    def run(self, *lines: tuple[object, ...]) -> list[tuple[int, str]]:
        """Command lines where it is installed, in one process: exit codes, and all that is said."""
        done = subprocess.run(
            [beside_lowest(), "-W", "ignore", "-c", MANY],
            input=json.dumps([[str(word) for word in line] for line in lines]),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, **QUIET_ENVIRONMENT, "PYTHONPATH": "", "COLUMNS": "400"},
        )
        assert done.returncode == 0, done.stderr
        told = [(code, said) for code, said in json.loads(done.stdout.splitlines()[-1])]
        # It would tell of every migration, and set up logging anew.
        assert not [
            said for said in (done.stderr, *(said for _, said in told)) if "alembic." in said
        ]
        return told

    def new(self, name: str) -> str:
        """The address of a database that is not there."""
        return sqlite_url(self.folder / f"{name}.db")


@pytest.fixture(scope="module")
def lowest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lowest]:
    folder, python = tmp_path_factory.mktemp("lowest"), beside_lowest()
    with ExitStack() as stack:
        source, target = (
            stack.enter_context(
                mlflow_server(sqlite_url(folder / f"{name}.db"), folder / name, python=python)
            )
            for name in ("source", "target")
        )
        subprocess.run(
            [python, Path(__file__).with_name("old_registry.py"), source],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **QUIET_ENVIRONMENT, "PYTHONPATH": ""},
        )
        yield Lowest(folder, source, target)


def test_its_databases_go_into_new_ones_and_into_servers(lowest):
    new, bundle, restored = lowest.new("new"), lowest.folder / "bundle", lowest.new("restored")
    plain = ("--artifacts", "none")
    copied, exported, imported, again, same, served, read, diff = lowest.run(
        ("copy", lowest.database, new, *plain),
        ("export", lowest.database, bundle, *plain),
        ("import", bundle, restored, *plain),
        ("import", bundle, new, *plain),
        ("diff", lowest.database, new, *plain),
        ("copy", lowest.database, lowest.target, *plain),
        ("inspect", lowest.database),
        ("diff", lowest.database, lowest.target, *plain),
    )
    assert [one[0] for one in (copied, exported, imported, same, read)] == [0] * 5, imported
    # The planner knows no older tables than those of 3.17.
    assert again[0] == ExitCode.REFUSED, again
    assert "it holds something" in again[1]
    assert rows(new, "SELECT version_num FROM alembic_version") == [(REVISION,)]
    # Its server takes no traces, and all the rest.
    assert served[0] == ExitCode.INCOMPLETE, served
    assert diff[0] == ExitCode.DIFFERENT, diff
    count = "SELECT count(*) FROM {}".format
    target = sqlite_url(lowest.folder / "target.db")
    for table in ("runs", "metrics", "params", "registered_model_aliases"):
        assert rows(target, count(table)) == rows(lowest.database, count(table))


def test_its_servers_are_read_into_its_databases(lowest):
    new = lowest.new("of-server")
    words = ("--artifacts", "none")
    done, diff, again = lowest.run(
        ("copy", lowest.source, new, *words),
        ("diff", lowest.source, new, *words),
        ("diff", lowest.database, new, *words),
    )
    assert done[0] == ExitCode.OK, done[1]
    assert diff[0] == ExitCode.OK, diff[1]
    assert again[0] in {ExitCode.OK, ExitCode.DIFFERENT}, again  # what a server does not show
    for table in ("runs", "metrics", "trace_info", "trace_tags", "trace_request_metadata"):
        query = f"SELECT count(*) FROM {table}"
        assert rows(new, query) == rows(lowest.database, query), table
    names = "SELECT value FROM trace_tags WHERE key = 'mlflow.traceName'"
    assert rows(new, names) == [("root",)]


def test_what_says_nothing_newer_is_restored_from_a_bundle_of_today(
    lowest, mlflow_sqlite, tmp_path
):
    url, bundle, new = sqlite_url(mlflow_sqlite), tmp_path / "bundle", lowest.new("plain")
    execute(
        url,
        "INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage)"
        " VALUES ('r', 0, 'FINISHED', 'active')",
        "INSERT INTO metrics VALUES ('loss', 0.5, 1, 'r', 0, 0)",
    )
    mlporter.export(url, bundle)
    ((code, said),) = lowest.run(("import", bundle, new, "--artifacts", "none"))
    assert code == ExitCode.OK, said
    assert rows(new, "SELECT value FROM metrics") == [(0.5,)]


@pytest.mark.parametrize("which", ["today", "sample"])
def test_what_it_cannot_hold_of_a_bundle_is_refused_before_anything_is_made(
    which, lowest, rich_bundle
):
    bundle = rich_bundle if which == "today" else SAMPLE
    new = lowest.new(which)
    root = lowest.folder / f"root-{which}"
    ((code, said),) = lowest.run(("import", bundle, new, "--artifact-root", root))
    assert code == ExitCode.REFUSED, said
    assert f"(MLflow {LOWEST})" in said
    assert "table logged_models" in said
    assert "pip install 'mlflow>=3.17" in said
    assert not root.exists()
    assert not (lowest.folder / f"{which}.db").exists()
