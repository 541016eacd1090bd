from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlflow
import pytest

import mlporter
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.rest_limits import (
    BLANKS,
    EMPTIES,
    HIDDEN_COLUMNS,
    HIDDEN_ROWS,
    HIDDEN_TABLES,
    NUMBERS,
    USUAL,
)
from mlporter.errors import ExitCode
from mlporter.selection import Selection, select
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from tests.support.engines import copy_sqlite
from tests.support.here import TABLES
from tests.support.mlflow_session import mlflow_at
from tests.support.rich_runs import METRIC_HISTORY

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.stores.database.scratch_registry import ScratchRegistry
    from tests.support.served import Served


def lines(report: mlporter.DiffReport) -> list[str]:
    return [f"{d.sigil} {d.table} {d.key} {d.columns}" for d in report.differences]


def test_the_judge_on_sqlite(served: Served):
    report = mlporter.diff(served.database, served.address, allow_root=served.folders)
    assert lines(report) == []
    assert report.exit_code == ExitCode.OK
    compared = {name for name, counts in report.tables.items() if counts.same}
    unfilled = {t.name for t in TABLES if t.kind.value == "kept"} - compared - set(HIDDEN_TABLES)
    assert unfilled == set()


def test_the_judge_on_postgresql(served_postgres: Served):
    report = mlporter.diff(
        served_postgres.database, served_postgres.address, allow_root=served_postgres.folders
    )
    assert lines(report) == []
    assert report.tables["metrics"].same > 0


def test_users_are_said_not_to_be_seen(served: Served):
    source = open_source(served.address)
    try:
        assert [note for note in source.notes if "Users and permissions were not read" in note]
        assert "users" not in {table.name for table in source.tables}
    finally:
        source.close()


def test_what_rest_hides_is_named_once_from_the_catalogue(served: Served):
    report = mlporter.diff(served.database, served.address, artifacts="none")
    (said,) = [text for text in report.ignored if "REST API does not show" in text]
    for table, columns in HIDDEN_COLUMNS.items():
        for column in columns:
            assert said.count(f" {table}.{column}") == 1
    for name in (*HIDDEN_TABLES, *(f"deleted {t.name}" for t in TABLES if t.name in HIDDEN_ROWS)):
        assert any(name in text for text in report.ignored)


def test_what_rest_hides_is_in_the_catalogue():
    by_name = BY_NAME
    for marks in (HIDDEN_COLUMNS, BLANKS, EMPTIES, USUAL, NUMBERS):
        for table, columns in marks.items():
            assert set(columns) <= set(by_name[table].by_name), table
    assert set(HIDDEN_TABLES) <= set(by_name)
    for table, (column, _) in HIDDEN_ROWS.items():
        assert column in by_name[table].by_name


def test_strict_compares_all_the_same(served: Served):
    report = mlporter.diff(served.database, served.address, strict=True, artifacts="none")
    assert report.exit_code == ExitCode.DIFFERENT
    assert any(d.table == "runs" and "source_type" in d.columns for d in report.differences)


def test_a_difference_is_found(served: Served, tmp_path: Path):
    other = tmp_path / "other.db"
    copy_sqlite(served.rich.database_path, other)
    with closing(sqlite3.connect(other)) as copy, copy:
        copy.execute("UPDATE metrics SET value = value + 1 WHERE key = 'history'")
        copy.execute("UPDATE input_tags SET value = 'changed' WHERE value = 'training'")
        copy.execute("UPDATE datasets SET digest = 'other' WHERE name = 'shared'")
    report = mlporter.diff(f"sqlite:///{other}", served.address, artifacts="none")
    tables = {difference.table for difference in report.differences}
    assert tables == {"metrics", "input_tags", "datasets", "inputs"}


@dataclass(frozen=True)
class Exported:
    """A bundle of the server, how it was made, and what was in the database before."""

    bundle: str
    result: mlporter.Result
    before: list[str]


@pytest.fixture(scope="module")
def exported(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    before = content(served)
    bundle = str(tmp_path_factory.mktemp("exported") / "backup")
    result = mlporter.export(served.address, bundle, allow_root=served.folders)
    return Exported(bundle, result, before)


def content(served: Served) -> list[str]:
    """All that is in the server's database."""
    with closing(sqlite3.connect(served.rich.database_path)) as connection:
        return list(connection.iterdump())


def test_export_names_what_is_not_visible(served: Served, exported: Exported):
    result = exported.result
    # The rich registry has one model without files, and secrets, in a database too.
    unexpected = [item for item in result.left_out.first if not item.expected]
    assert {(item.kind, item.reason) for item in unexpected} == {
        ("column", "secret"),
        ("logged_model", "missing"),
    }
    assert result.source == served.address
    with mlporter.open(exported.bundle) as bundle:
        left = bundle.read("left_out").read_all().to_pylist()
    hidden = {(row["kind"], row["id"], row["path"]) for row in left if row["reason"] == "hidden"}
    assert ("column", "runs", "deleted_time") in hidden
    assert ("table", "model_versions", "") in hidden
    assert ("model_version", "default/rich-model/2", "") in hidden
    assert ("model_version", "default/rich_prompt/2", "") in hidden


def test_a_bundle_from_a_server_is_the_database(served: Served, exported: Exported):
    assert lines(mlporter.diff(served.database, exported.bundle)) == []
    verified = mlporter.verify(exported.bundle, against=served.address, allow_root=served.folders)
    assert verified.exit_code == ExitCode.OK


def test_two_exports_of_one_server_are_the_same_rows(
    served: Served, exported: Exported, tmp_path: Path
):
    mlporter.export(served.address, str(tmp_path / "again"), artifacts="none")
    again = str(tmp_path / "again")
    report = mlporter.diff(exported.bundle, again, strict=True, artifacts="none")
    assert lines(report) == []


def test_a_copy_into_a_database_is_what_mlflow_shows(served: Served, tmp_path: Path):
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    root = str(tmp_path / "copied")
    result = mlporter.copy(served.address, target, artifact_root=root, allow_root=served.folders)
    assert result.exit_code in (ExitCode.OK, ExitCode.INCOMPLETE)
    again = mlporter.copy(served.address, target, artifact_root=root, allow_root=served.folders)
    assert sum(table.copied for table in again.tables) == 0
    assert lines(mlporter.diff(served.address, target, allow_root=served.folders)) == []
    with mlflow_at(target):
        client = mlflow.MlflowClient()
        history = client.get_metric_history(served.rich.runs.metrics_id, "history")
        assert len(history) == len(METRIC_HISTORY)
        child = client.get_run(served.rich.runs.child_ids[0])
        assert child.data.tags["mlflow.parentRunId"] == served.rich.runs.parent_id


def test_the_source_is_not_changed(served: Served, exported: Exported):
    mlporter.inspect(served.address)
    assert content(served) == exported.before


# --- Only what is asked for -----------------------------------------------------------------------


def rows_fetched(source: object, table: str) -> int:
    while not hasattr(source, "_scratch"):
        source = source.inner
    scratch: ScratchRegistry = source._scratch
    return scratch.reader.count(table)


@pytest.fixture
def opened(served: Served):
    source = open_source(served.address)
    yield source
    source.close()


def test_opening_reads_nothing(opened):
    assert [t.name for t in TABLES if rows_fetched(opened, t.name)] == []


def test_one_experiment_leaves_the_runs_of_others_where_they_are(served: Served, opened):
    name = "rich, thrown away"
    part = select(opened, Selection(experiments=(name,)))
    assert part.count("runs") == 2
    assert part.count("metrics") == 2
    list(part.read("inputs"))
    assert rows_fetched(opened, "runs") == 2


def test_one_run_by_id(served: Served, opened):
    part = select(opened, Selection(runs=(served.rich.runs.grandchild_id,)))
    ids = {row["run_uuid"] for batch in part.read("runs") for row in batch.to_pylist()}
    runs = served.rich.runs
    assert ids == {runs.grandchild_id, runs.child_ids[0], runs.parent_id}
    assert rows_fetched(opened, "runs") < 10


def test_runs_by_id_and_then_all(served: Served, opened):
    """A run that was fetched alone does not come twice."""
    one = Among("run_uuid", (served.rich.runs.metrics_id,))
    assert sum(batch.num_rows for batch in opened.read("metrics", None, one)) > 0
    runs = opened.count("runs")
    with closing(sqlite3.connect(served.rich.database_path)) as connection:
        assert runs == connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        expected = connection.execute("SELECT count(*) FROM metrics").fetchone()[0]
        edges = connection.execute("SELECT count(*) FROM inputs").fetchone()[0]
    assert opened.count("metrics") == expected
    assert opened.count("inputs") == edges


def test_a_selected_model_brings_its_run(served: Served, tmp_path: Path):
    for source in (served.address, served.database):
        name = "server" if source == served.address else "database"
        mlporter.export(source, str(tmp_path / name), selection=Selection(models=("rich-model",)))
    report = mlporter.diff(str(tmp_path / "database"), str(tmp_path / "server"))
    assert lines(report) == []
    assert report.tables["model_versions"].same == 3


def test_how_far_fetching_is_is_told_while_rows_are_asked_for(served: Served):
    told: dict[str, list[tuple[int, int | None]]] = {}

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        assert unit == "rows"
        told.setdefault(step, []).append((done, total))

    with closing(open_source(served.address, on_progress=tell)) as source:
        points = source.count("metrics")
    ended = {step: calls[-1] for step, calls in told.items()}
    assert ended["fetching metrics"] == (points, points)
    assert ended["fetching runs"][0] > 0
    assert all(done == total for done, total in ended.values())
