"""Traces of MLflow 3.17 and newer into tables of an older one: its tags, metadata and metrics."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from mlflow.store.db.utils import _get_alembic_config

import mlporter
from mlporter.errors import ExitCode, RefusedError
from mlporter.stores.database.history.shape import tables_at
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from mlporter.stores.views.older_tables import for_older_tables
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.old_schemas import fill, make_schema, quietly, upgrade
from tests.support.older_mlflow import older_mlflow

BEFORE, AFTER = "b7e2c1a4d9f3", "dc11669786a5"
"""MLflow 3.16 and 3.17; between them values of traces moved out of tags."""
WITHOUT_METRICS = "1bd49d398cd23"
"""MLflow 3.8: spans, but nowhere to put what they cost."""
TABLES = ("trace_info", "trace_tags", "trace_request_metadata", "trace_metrics", "spans")
TABLES += ("span_metrics", "assessments")


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """A filled database of MLflow 3.17. Do not touch."""
    url = sqlite_url(tmp_path_factory.mktemp("newer") / "mlflow.db")
    make_schema(url, BEFORE)
    fill(url)
    # What MLflow's own upgrade does not bring over.
    null = "UPDATE spans SET dimension_attributes = NULL WHERE dimension_attributes LIKE '%null%'"
    execute(url, null, "DELETE FROM trace_metrics WHERE value IS NULL")
    # MySQL has no room for thirds in these.
    execute(url, "UPDATE endpoint_model_mappings SET weight = 0.5")
    execute(url, "UPDATE budget_policies SET budget_amount = 0.5")
    upgrade(url, AFTER)
    return url


@pytest.fixture(scope="module")
def downgraded(newer, tmp_path_factory):
    """What MLflow makes of it, on its way back: the judge. Do not touch."""
    path = tmp_path_factory.mktemp("downgraded") / "mlflow.db"
    url = sqlite_url(Path(shutil.copy(newer.removeprefix("sqlite:///"), path)))
    with quietly():
        command.downgrade(_get_alembic_config(url), BEFORE)
    return url


@pytest.fixture
def mlflow_of(tmp_path, monkeypatch):
    """Lets the installed MLflow be an older one."""
    made = []

    def make(revision):
        made.append(older_mlflow(revision, tmp_path / "older-mlflow", monkeypatch))
        next(made[-1])

    yield make
    for one in made:
        next(one, None)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def nothing(request, tmp_path):
    """The address of a database that holds nothing."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "new.db")
    fixtures = {"postgresql": "empty_postgres_url", "mariadb": "empty_mysql_url"}
    return request.getfixturevalue(fixtures[request.param])


def bring(source, target, **options):
    return mlporter.copy(source, target, artifacts="none", include_secrets=True, **options)


def test_they_are_where_the_older_mlflow_has_them(newer, downgraded, mlflow_of, nothing):
    mlflow_of(BEFORE)
    assert bring(newer, nothing, dry_run=True).exit_code == ExitCode.OK
    result = bring(newer, nothing)
    assert result.exit_code == ExitCode.OK, result.left_out
    assert [note for note in result.notes if "older than 3.17" in note]
    assert rows(nothing, "SELECT version_num FROM alembic_version") == [(BEFORE,)]
    report = mlporter.diff(newer, nothing, artifacts="none")
    assert report.identical, report.differences
    if nothing.startswith("sqlite"):
        for table in TABLES:
            query = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
            assert rows(nothing, query) == rows(downgraded, query), table
    else:
        there = row_counts(nothing)
        assert {table: there[table] for table in TABLES} == {
            table: count for table, count in row_counts(downgraded).items() if table in TABLES
        }


def test_what_it_has_no_place_for_is_named(newer, mlflow_of, tmp_path):
    mlflow_of(WITHOUT_METRICS)
    url = sqlite_url(tmp_path / "new" / "mlflow.db")
    (tmp_path / "new").mkdir()
    with pytest.raises(RefusedError) as refused:
        bring(newer, url)
    named = str(refused.value)
    assert "column spans.model_name: " in named
    assert "column spans.total_cost: " in named
    assert "column trace_info.trace_name" not in named
    assert "column trace_info.total_cost" not in named
    assert "column assessments." not in named
    assert "workspaces" not in named  # it has none, and all is in the default one
    assert tree(tmp_path / "new") == {}
    assert bring(newer, url, drop_unknown=True).exit_code == ExitCode.INCOMPLETE
    tags = "SELECT request_id, value FROM trace_tags WHERE key = 'mlflow.traceName' ORDER BY 1"
    names = "SELECT request_id, trace_name FROM trace_info WHERE trace_name IS NOT NULL ORDER BY 1"
    assert rows(url, tags) == rows(newer, names) != []
    report = mlporter.diff(newer, url, artifacts="none")
    assert [d for d in report.differences if d.table in {"workspaces", "trace_tags"}] == []


def test_values_that_would_be_read_as_others_are_named(newer, mlflow_of, tmp_path):
    odd = sqlite_url(Path(shutil.copy(newer.removeprefix("sqlite:///"), tmp_path / "odd.db")))
    one = " WHERE request_id = (SELECT min(request_id) FROM trace_info)"
    execute(
        odd,
        f"UPDATE trace_info SET input_cost = 9e999, total_tokens = {2**53 + 1}{one}",
        "UPDATE assessments SET aggregate_value = 77, is_numeric_value = 1 WHERE value = 'true'",
    )
    mlflow_of(BEFORE)
    url = sqlite_url(tmp_path / "new.db")
    with pytest.raises(RefusedError) as refused:
        bring(odd, url)
    named = str(refused.value)
    assert "column trace_info.input_cost: 1 value" in named
    assert "column assessments.aggregate_value: " in named
    assert "column assessments.is_numeric_value: " in named
    assert "total_tokens" not in named
    bring(odd, url, drop_unknown=True)
    report = mlporter.diff(odd, url, artifacts="none")
    assert {d.table for d in report.differences} == {"trace_info", "assessments"}
    (tokens,) = rows(odd, f"SELECT request_id FROM trace_info{one}")[0]
    query = "SELECT value FROM trace_request_metadata WHERE key = 'mlflow.trace.tokenUsage'"
    assert str(2**53 + 1) in rows(url, f"{query} AND request_id = '{tokens}'")[0][0]


def test_a_part_of_such_rows_is_read_by_any_column(newer):
    with closing(open_source(newer)) as inner:
        source = for_older_tables(inner, tables_at(BEFORE))
        for name in ("trace_tags", "trace_request_metadata", "trace_metrics"):
            whole = found(source.read(name))
            assert whole == sorted(whole, key=lambda row: (row["request_id"], row["key"]))
            assert source.count(name) == len(whole)
            for column in ("request_id", "key"):
                value = whole[-1][column]
                part = source.read(name, ("key", "value"), Among(column, (value,)))
                assert found(part) == [
                    {"key": row["key"], "value": row["value"]}
                    for row in whole
                    if row[column] == value
                ]


def found(batches):
    return [row for batch in batches for row in batch.to_pylist()]
