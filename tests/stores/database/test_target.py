"""Filling a database: what it was declared as it stays, and what MLflow derives is MLflow's."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlporter
from mlporter.errors import RefusedError, UnreachableError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.bulk_load import WORTHWHILE_ROWS
from mlporter.stores.database.schema.scripts import installed_head
from mlporter.stores.database.target import DatabaseTarget, open_database_target
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.examples import examples
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.plain_registry import fill_metrics

# --- The schema stays -----------------------------------------------------------------------------

SCHEMA = {
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2, 3"],
    "postgresql": [
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
           WHERE conrelid <> 0 ORDER BY 1, 2""",
        """SELECT pg_get_indexdef(indexrelid), indisprimary, indisunique, indisvalid FROM pg_index
           WHERE indrelid::regclass::text !~ '^pg_' ORDER BY 1""",
        """SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
           WHERE NOT tgisinternal ORDER BY 1, 2""",
    ],
}


def schema(url):
    return [rows(url, query) for query in SCHEMA[parse_address(url).kind.value]]


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request):
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    return request.getfixturevalue("mlflow_postgres_url")


@pytest.fixture(scope="session")
def many_metrics(mlflow_sqlite_template, tmp_path_factory):
    """A SQLite database with so many metrics that they are loaded without their indexes."""
    path = tmp_path_factory.mktemp("many") / "mlflow.db"
    shutil.copy(mlflow_sqlite_template, path)
    fill_metrics(sqlite_url(path), runs=600, keys=90, steps=1)
    ((count,),) = rows(sqlite_url(path), "SELECT count(*) FROM metrics")
    assert count > WORTHWHILE_ROWS
    return sqlite_url(path)


def test_a_large_load_leaves_the_schema_as_mlflow_made_it(many_metrics, target):
    before = schema(target)
    result = mlporter.copy(many_metrics, target, artifacts="none")
    assert {t.table: t.copied for t in result.tables}["metrics"] == 600 * 90
    assert schema(target) == before
    for query in (
        "SELECT run_uuid, key, step, timestamp, value FROM metrics ORDER BY 1, 2, 3",
        "SELECT run_uuid, key, step, timestamp, value FROM latest_metrics ORDER BY 1, 2",
    ):
        assert sorted(rows(target, query)) == sorted(rows(many_metrics, query))


def test_rows_that_do_not_lie_as_they_were_sent_are_read_back_by_key(
    many_metrics, mlflow_postgres_url, monkeypatch
):
    """PostgreSQL may fill gaps of an emptied table in any order; it could not be made to here."""
    asked = []

    def backwards(self, table, columns):
        asked.append(table)
        rows = pa.Table.from_batches(self.read(table, columns))
        return reversed(rows.to_batches(max_chunksize=1000))

    monkeypatch.setattr(DatabaseTarget, "read_lying", backwards)
    result = mlporter.copy(many_metrics, mlflow_postgres_url, artifacts="none")
    assert {t.table: t.copied for t in result.tables}["metrics"] == 600 * 90
    assert asked == ["metrics", "latest_metrics"]


def test_a_large_load_that_fails_leaves_the_schema_as_mlflow_made_it(many_metrics, target):
    before, counts = schema(target), row_counts(target)

    def stop(step, done, total, unit="rows"):
        if step == "reading back metrics":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mlporter.copy(many_metrics, target, artifacts="none", on_progress=stop)
    assert (schema(target), row_counts(target)) == (before, counts)


# --- A new SQLite file ----------------------------------------------------------------------------


@pytest.fixture
def quick_schema(monkeypatch, mlflow_sqlite_template):
    """MLflow takes seconds to create its tables; a copy of what it made will do."""
    monkeypatch.setattr(
        "mlporter.stores.database.target.create_schema",
        lambda _address, _revision, file: shutil.copy(mlflow_sqlite_template, file),
    )


def test_a_new_file_appears_with_the_commit_and_not_before(quick_schema, plain_sqlite, tmp_path):
    new = tmp_path / "place" / "new.db"
    new.parent.mkdir()
    seen = []

    def look(step, done, total, unit="rows"):
        seen.append(new.exists())

    mlporter.copy(plain_sqlite.tracking_uri, sqlite_url(new), artifacts="none", on_progress=look)
    assert seen
    assert not any(seen)
    assert [path.name for path in new.parent.iterdir()] == ["new.db"]


def test_an_empty_file_is_taken_for_a_new_one(quick_schema, plain_sqlite, tmp_path):
    """As MLflow, or `touch`, leaves one."""
    (tmp_path / "new.db").touch()
    url = sqlite_url(tmp_path / "new.db")
    mlporter.copy(plain_sqlite.tracking_uri, url, artifacts="none")
    assert rows(url, "SELECT count(*) FROM runs") == [(4,)]


def test_a_file_that_somebody_else_made_meanwhile_is_never_replaced(
    quick_schema, plain_sqlite, tmp_path
):
    new = tmp_path / "place" / "new.db"
    new.parent.mkdir()

    def intrude(step, done, total, unit="rows"):
        if unit == "rows":  # that is, once it was seen that there is no such file
            new.write_text("somebody else's")

    with pytest.raises(RefusedError, match="created by another process in the meantime"):
        mlporter.copy(
            plain_sqlite.tracking_uri,
            sqlite_url(new),
            artifact_root=str(tmp_path / "root"),
            on_progress=intrude,
        )
    assert new.read_text() == "somebody else's"
    assert set(tree(new.parent)) == {"new.db"}
    assert not (tmp_path / "root").exists()


def test_a_new_file_is_made_at_the_revision_of_the_rows_and_upgraded_with_them(tmp_path):
    url = sqlite_url(tmp_path / "new.db")
    target = open_database_target(parse_address(url), "75868b020152")
    assert (target.revision, target.upgraded_to) == ("75868b020152", None)
    assert "job_locks" not in {table.name for table in target.tables}
    target.commit()
    assert target.upgraded_to == installed_head()
    assert rows(url, "SELECT version_num FROM alembic_version") == [(installed_head(),)]
    assert rows(url, "SELECT count(*) FROM job_locks") == [(0,)]


def test_a_new_file_that_mlflow_cannot_upgrade_never_appears(tmp_path, monkeypatch):
    def fail(*_):
        raise UnreachableError("no")

    target = open_database_target(parse_address(sqlite_url(tmp_path / "new.db")), "75868b020152")
    monkeypatch.setattr("mlporter.stores.database.target.upgrade_schema", fail)
    with pytest.raises(UnreachableError):
        target.commit()
    assert target.rollback()
    assert tree(tmp_path) == {}


# --- Latest metrics -------------------------------------------------------------------------------

NUMBER = st.integers(-2, 2)
#: Ties in everything but the last place, so that every place of the order is decisive somewhere.
POINT = st.tuples(NUMBER.map(float) | st.just(float("nan")), st.integers(0, 2), NUMBER)


def without_undecided(points):
    """Zero and NaN of one step and time: MLflow keeps the one that came first."""
    zeros = {point[1:] for point in points if point[0] == 0}
    return [p for p in points if not math.isnan(p[0]) or p[1:] not in zeros]


BATCHES = st.lists(st.lists(POINT, min_size=1, max_size=8), min_size=1, max_size=8)


@settings(max_examples=examples(2), phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(runs=st.lists(BATCHES, min_size=5, max_size=5))  # one copy for all: it is what takes time
def test_latest_metrics_are_rebuilt_as_mlflow_keeps_them(
    latest_metrics_database, mlflow_sqlite_template, runs
):
    """Whatever the order in which MLflow was told of them."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds
    from mlflow.entities import Metric  # noqa: PLC0415

    url = latest_metrics_database
    execute(url, "DELETE FROM metrics", "DELETE FROM latest_metrics", "DELETE FROM runs")
    with mlflow_at(url):
        client = MlflowClient()
        for batches in runs:
            run = client.create_run("0").info.run_id
            for number, points in enumerate(batches):
                for value, timestamp, step in without_undecided(points):
                    client.log_batch(run, [Metric(f"m{number}", value, timestamp, step)])
    query = (
        "SELECT run_uuid, key, step, timestamp, value, is_nan FROM latest_metrics"
        " ORDER BY run_uuid, key"
    )
    expected = rows(url, query)
    execute(url, "DELETE FROM latest_metrics")  # ours do not come from there
    target = Path(url.removeprefix("sqlite:///")).with_name("target.db")
    shutil.copy(mlflow_sqlite_template, target)
    mlporter.copy(url, sqlite_url(target), artifacts="none")
    assert rows(sqlite_url(target), query) == expected


@pytest.fixture(scope="module")
def latest_metrics_database(mlflow_sqlite_template, tmp_path_factory):
    path = tmp_path_factory.mktemp("latest") / "mlflow.db"
    shutil.copy(mlflow_sqlite_template, path)
    return sqlite_url(path)
