"""Another program keeps its tables in MLflow's database (mlflow/mlflow #6166 #8409)."""

from __future__ import annotations

import json

import pytest

import mlporter
from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url

TABLES = (
    "CREATE TABLE connection (id INTEGER PRIMARY KEY, conn_id VARCHAR(20), password VARCHAR(20))",
    "CREATE TABLE dag_run (id INTEGER PRIMARY KEY, run_uuid VARCHAR(32), state VARCHAR(20))",
)
ENGINES = ["sqlite", "postgresql", "mysql"]


@pytest.fixture(params=ENGINES)
def shared(request, plain_sqlite, mlflow_sqlite, tmp_path):
    """Two registries that each share their database with the same program."""
    source = plain_sqlite.tracking_uri
    if request.param == "sqlite":
        target = sqlite_url(mlflow_sqlite)
    else:
        target = request.getfixturevalue(f"mlflow_{_FIXTURE[request.param]}_url")
    for url, word in ((source, "dev"), (target, "prod")):
        execute(url, *TABLES)
        execute(url, f"INSERT INTO connection VALUES ({len(word)}, '{word}', 'hunter2-{word}')")
    return source, target


_FIXTURE = {"postgresql": "postgres", "mysql": "mysql"}


def everything(url):
    return rows(url, "SELECT id, conn_id, password FROM connection ORDER BY id")


def test_other_programs_tables_are_left_alone_and_named(shared, tmp_path, cli):
    source, target = shared
    before = everything(target)
    bundle = tmp_path / "bundle"
    done = cli("export", source, bundle, "--json")
    assert done.code == 0
    named = {item["id"]: item["reason"] for item in done.json["left_out"]["first"]}
    assert (named["connection"], named["dag_run"]) == ("foreign", "foreign")
    with mlporter.open(bundle) as registry:
        assert "connection" not in registry.tables
        left = registry.read("left_out").read_all().to_pylist()
    assert {row["id"] for row in left if row["reason"] == "foreign"} == {"connection", "dag_run"}
    root = tmp_path / "root"
    for place in (source, bundle):
        result = mlporter.copy(place, target, artifact_root=root)
        assert result.exit_code == 0
        assert everything(target) == before
    report = mlporter.diff(source, target)
    assert report.identical
    assert any("connection" in line for line in report.ignored)
    texts = [path.read_bytes() for path in bundle.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in text for text in texts)
    kinds = {table.name: table.kind for table in mlporter.inspect(source).tables}
    assert kinds["connection"] == "unknown"


def test_they_are_carried_by_name_into_a_target_that_has_no_rows_there(shared, tmp_path):
    source, target = shared
    root, asked = tmp_path / "root", {"include_tables": ["connection"]}
    before = everything(target)
    for dry_run in (True, False):
        with pytest.raises(mlporter.ConflictError, match="rows of its own") as refused:
            mlporter.copy(source, target, artifact_root=root, dry_run=dry_run, **asked)
        assert "connection" in "".join(refused.value.reasons)
    assert everything(target) == before
    execute(target, "DELETE FROM connection")
    assert mlporter.copy(source, target, artifact_root=root, **asked).exit_code == 0
    assert everything(target) == everything(source)
    again = mlporter.copy(source, target, artifact_root=root, **asked)
    shown = mlporter.show(target, "connection").read_all().to_pylist()
    assert not any(row.get("password") for row in shown)
    assert (again.exit_code, again.rows) == (0, 0)


@pytest.mark.parametrize("name", ["conection", "runs", "users"])
def test_what_is_no_other_program_s_table_is_refused(name, plain_sqlite, tmp_path):
    execute(plain_sqlite.tracking_uri, *TABLES)
    with pytest.raises(mlporter.UsageError):
        mlporter.export(plain_sqlite.tracking_uri, tmp_path / "b", include_tables=[name])
    assert not (tmp_path / "b").exists()


def test_another_program_s_users_are_never_merged_by_number(plain_sqlite, mlflow_sqlite, tmp_path):
    """Number 2 is somebody else in another database; MLflow's own users go by name."""
    source, target = plain_sqlite.tracking_uri, sqlite_url(mlflow_sqlite)
    table = "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)"
    for url, name in ((source, "bob"), (target, "zoe")):
        execute(url, table, f"INSERT INTO users VALUES (2, '{name}', 'scrypt:planted-{name}')")
    result = mlporter.copy(
        source, target, artifact_root=tmp_path / "root", include_secrets=True, on_conflict="skip"
    )
    assert result.exit_code == 0
    assert ("users", "foreign") in {(item.id, item.reason) for item in result.left_out.first}
    assert "planted" not in json.dumps(result.as_dict())
    assert rows(target, "SELECT username FROM users") == [("zoe",)]
    bundle = tmp_path / "bundle"
    assert mlporter.export(source, bundle, include_secrets=True).exit_code == 0
    execute(target, "DELETE FROM users")
    options = {"artifact_root": tmp_path / "root", "include_secrets": True}
    assert mlporter.import_(bundle, target, **options).rows == 0
    assert rows(target, "SELECT username FROM users") == []
