"""Other programs' tables that are called as MLflow's are, or that nobody may read."""

from __future__ import annotations

import pytest

import mlporter
from tests.support.databases import another_role, execute, rows
from tests.support.mlflow_session import sqlite_url
from tests.support.old_databases import copy_old

SECRET = "hunter2-planted"
LATER = {"2.22.1": ("skills", "spans", "jobs"), "1.30.1": ("datasets", "trace_info", "workspaces")}


def named(result):
    return {item.id: item.detail for item in result.left_out.first if item.reason == "foreign"}


@pytest.mark.parametrize("version", LATER)
def test_what_is_called_as_a_table_of_a_later_mlflow_is_none_of_mlflows(version, tmp_path):
    path = copy_old(version, tmp_path / "old")
    for table in LATER[version]:
        execute(
            sqlite_url(path),
            f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, password TEXT)",
            f"INSERT INTO {table} VALUES (1, 'x', '{SECRET}')",
        )
    result = mlporter.export(sqlite_url(path), tmp_path / "bundle", artifacts="none")
    assert named(result).keys() >= set(LATER[version])
    texts = [one.read_bytes() for one in (tmp_path / "bundle").rglob("*") if one.is_file()]
    assert not any(SECRET.encode() in text for text in texts)
    plain = copy_old(version, tmp_path / "plain")
    assert mlporter.diff(sqlite_url(path), sqlite_url(plain), artifacts="none").identical
    with pytest.raises(mlporter.UsageError, match="the name of one of MLflow's"):
        mlporter.export(sqlite_url(path), tmp_path / "other", include_tables=[LATER[version][0]])


def test_a_table_that_a_failed_migration_left_is_no_small_matter(tmp_path):
    """It has MLflow's columns, and rows: whose they are must be found out."""
    url = sqlite_url(copy_old("2.9.2", tmp_path))
    execute(
        url,
        "CREATE TABLE trace_tags (key TEXT, value TEXT, request_id TEXT)",
        "INSERT INTO trace_tags VALUES ('k', 'v', 'r')",
    )
    result = mlporter.export(url, tmp_path / "bundle", artifacts="none")
    assert (result.exit_code, "half-way" in named(result)["trace_tags"]) == (3, True)


def test_a_virtual_table_needs_no_module(mlflow_sqlite, tmp_path):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "PRAGMA writable_schema = on",
        "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES"
        " ('table', 'geo', 'geo', 0, 'CREATE VIRTUAL TABLE geo USING nosuchmodule(a)')",
    )
    assert mlporter.export(url, tmp_path / "bundle", artifacts="none").exit_code == 0


@pytest.fixture
def limited(mlflow_postgres_url):
    """A database whose MLflow has a user of its own; the address that it uses."""
    with another_role(mlflow_postgres_url) as (role, address):
        execute(mlflow_postgres_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        yield address


def test_a_table_that_this_user_may_not_read_is_named(limited, mlflow_postgres_url, tmp_path):
    execute(
        mlflow_postgres_url,
        "CREATE TABLE dag_run (id INTEGER PRIMARY KEY)",
        "CREATE TABLE slots (id INTEGER PRIMARY KEY)",
        "GRANT SELECT ON slots TO PUBLIC",
        "ALTER TABLE slots ENABLE ROW LEVEL SECURITY",
    )
    result = mlporter.export(limited, tmp_path / "bundle", artifacts="none")
    assert result.exit_code == 0
    assert set(named(result)) == {"dag_run", "slots"}
    assert rows(limited, "SELECT count(*) FROM slots") == [(0,)]
    assert mlporter.inspect(limited).tables


def test_hidden_rows_of_mlflows_are_never_taken_for_all(limited, mlflow_postgres_url, tmp_path):
    execute(mlflow_postgres_url, "ALTER TABLE experiments ENABLE ROW LEVEL SECURITY")
    with pytest.raises(mlporter.AccessDeniedError, match="experiments"):
        mlporter.export(limited, tmp_path / "bundle", artifacts="none")
    assert not (tmp_path / "bundle").exists()
