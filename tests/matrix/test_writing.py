"""Today's rich registry into servers of older MLflows: what they cannot hold is listed by name."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.catalogue import BY_NAME
from tests.matrix.environments import NEEDS, python_of
from tests.support.databases import rows
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result
    from tests.support.rich_registry import RichRegistry

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

CANNOT_HOLD = {
    "2.9.2": {"logged_models", "trace_info", "scorers", "evaluation_datasets", "issues"},
    "2.22.1": {"logged_models", "trace_info", "scorers", "evaluation_datasets", "issues"},
    "3.1.4": {"trace_info", "scorers", "evaluation_datasets", "issues", "label_schemas"},
    "3.10.0": {"issues", "label_schemas", "review_queues"},
}
"""Tables, some of them, that a release has no place for."""
COPIES = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
ids = [e.experiment_id for e in client.search_experiments(view_type=3)]
runs = client.search_runs(ids, run_view_type=3, max_results=1000)
print(*sorted(run.data.tags["mlporter.source.run_id"] for run in runs))
"""
"""Asks an old MLflow which runs a server has copies of."""
OF_KINDS = {
    "artifact": {"artifacts"},
    "model_version": {"model_versions", "registered_model_aliases"},
    "table logged_models": {"inputs"},
    "table evaluation_datasets": {"entity_associations"},
    "table trace_info": {"entity_associations", "assessments", "spans"},
}
"""What is lost along with something, where the catalogue does not say so as its parent."""


@dataclass(frozen=True)
class Written:
    """What came of an import into a server."""

    release: str
    source: str
    address: str
    database: Path
    result: Result

    def count(self, table: str) -> int:
        """Rows of a table of the server's."""
        with closing(sqlite3.connect(self.database)) as live:
            return int(live.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    @property
    def left(self) -> list[LeftOut]:
        """What is named as not carried."""
        return [item for item in self.result.left_out.first if not item.expected]

    @property
    def lost(self) -> set[str]:
        """Tables of which something is named as not carried, or hangs on it."""
        found: set[str] = set()
        for item in self.left:
            table = item.kind == "table"
            found |= {item.id if table else item.kind, item.path.partition("/")[0]}
            found |= OF_KINDS.get(f"table {item.id}" if table else item.kind, set())
        size = 0
        while size != len(found):
            size = len(found)
            found |= {name for name, table in BY_NAME.items() if table.parent in found}
        return found


@pytest.fixture(scope="module", params=sorted(NEEDS))
def written(
    request: pytest.FixtureRequest,
    rich_sqlite_template: RichRegistry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Written]:
    """The rich registry, copied into an empty server of an older MLflow."""
    folder = tmp_path_factory.mktemp("into")
    database = folder / "mlflow.db"
    with mlflow_server(
        sqlite_url(database), folder / "files", python=python_of(request.param)
    ) as address:
        source = rich_sqlite_template.tracking_uri
        result = mlporter.copy(source, address)
        yield Written(request.param, source, address, database, result)


def test_what_it_cannot_hold_is_listed(written):
    assert written.result.exit_code == 3
    assert {item.id for item in written.left if item.kind == "table"} >= CANNOT_HOLD[
        written.release
    ]
    assert [item for item in written.left if item.reason == "not-as-sent"] == []


def test_nothing_else_is_lost(written):
    query = "SELECT count(*) FROM {}".format
    for table in ("experiments", "runs", "registered_models"):
        assert written.count(table) == rows(written.source, query(table))[0][0], table
    report = mlporter.diff(written.source, written.address, retry_time=1)
    different = {table for table, counts in report.tables.items() if counts.different}
    assert different - written.lost == set()
    assert {d.sigil for d in report.differences} <= {"+", "!"}
    # An older server lists files whose names are not ASCII, and fails where they are asked for.
    unread = [dict(d.key)["path"] for d in report.differences if d.sigil == "!"]
    assert all(not path.isascii() for path in unread)


def test_a_second_import_sends_nothing(written):
    tables = ("experiments", "runs", "metrics", "params", "tags", "model_versions")
    before = {table: written.count(table) for table in tables}
    again = mlporter.copy(written.source, written.address)
    assert (again.exit_code, again.rows, again.files.stored_files) == (3, 0, 0), again.tables
    assert {table: written.count(table) for table in tables} == before


def test_its_own_client_finds_every_run(written, tmp_path):
    done = subprocess.run(
        [python_of(written.release), "-W", "ignore", "-c", COPIES, written.address],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **QUIET_ENVIRONMENT, "PYTHONPATH": ""},
    )
    runs = [run for (run,) in rows(written.source, "SELECT run_uuid FROM runs ORDER BY run_uuid")]
    assert done.stdout.splitlines()[-1].split() == runs
