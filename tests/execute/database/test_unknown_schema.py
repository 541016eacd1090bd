"""What the catalogue does not know (a plugin's table, a column of tomorrow) never vanishes unsaid.

It is read by reflection, carried and marked; where a target has no place for it, it is named.
"""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.errors import ExitCode
from tests.support.databases import execute, rows
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

COLUMNS = """
ALTER TABLE runs ADD COLUMN priority INTEGER;
UPDATE runs SET priority = 7 WHERE status = 'FINISHED';
ALTER TABLE params ADD COLUMN note VARCHAR(20);
UPDATE params SET note = 'ü';
"""
TABLE = {
    "sqlite": """
CREATE TABLE extra (
    b TEXT, a INTEGER, amount DOUBLE, at DATETIME, blob BLOB, ok BOOLEAN, PRIMARY KEY (a, b)
);
INSERT INTO extra VALUES ('x', 2, 0.5, '2001-09-09 01:46:40', x'00ff', 1),
    ('y', 1, NULL, NULL, NULL, NULL), ('x', 1, 1e300, '', x'', 0);
""",
    "postgresql": r"""
CREATE TABLE extra (
    b TEXT, a INTEGER, amount DOUBLE PRECISION, at TIMESTAMP, blob BYTEA, ok BOOLEAN,
    PRIMARY KEY (a, b)
);
INSERT INTO extra VALUES ('x', 2, 0.5, '2001-09-09 01:46:40', '\x00ff', true),
    ('y', 1, NULL, NULL, NULL, NULL), ('x', 1, 1e300, NULL, '', false);
""",
}
WITHOUT_KEY = """
CREATE TABLE "no Key" (n INTEGER, "select" TEXT);
INSERT INTO "no Key" VALUES (2, 'b'), (1, 'c'), (2, 'a'), (NULL, 'a'), (2, 'b');
"""


def statements(script):
    return [statement for statement in script.split(";") if statement.strip()]


@pytest.fixture(params=["sqlite", "postgresql"])
def extended(request, plain_sqlite, tmp_path):
    """A registry with columns and tables that are not MLflow's."""
    url = plain_sqlite.tracking_uri
    if request.param == "postgresql":
        url = request.getfixturevalue("mlflow_postgres_url")
        mlporter.copy(plain_sqlite.tracking_uri, url, artifact_root=str(tmp_path / "there"))
    execute(url, *statements(COLUMNS + TABLE[request.param]))
    return url


def test_unknown_tables_and_columns_are_exported_and_marked(extended, tmp_path):
    bundle = tmp_path / "bundle"
    result = mlporter.export(extended, str(bundle), include_tables=["extra"])
    assert result.exit_code == 0
    assert {t.table: t.copied for t in result.tables}["extra"] == 3
    runs = pq.read_table(bundle / "tables" / "runs").to_pylist()
    assert {(row["status"], row["priority"]) for row in runs} == {("FINISHED", 7)}
    with mlporter.open(str(bundle)) as registry:
        extra = registry.read("extra").read_all().to_pylist()
    assert [(row["a"], row["b"], row["amount"], row["ok"]) for row in extra] == [
        (1, "x", 1e300, False),
        (1, "y", None, None),
        (2, "x", 0.5, True),
    ]
    assert extra[2]["blob"] == b"\x00\xff"
    assert extra[2]["at"].startswith("2001-09-09 01:46:40")
    kinds = {name: entry.kind for name, entry in load_manifest(bundle).tables.items()}
    assert (kinds["extra"], kinds["runs"]) == ("unknown", "kept")
    assert mlporter.verify(str(bundle), against=extended).exit_code == 0
    by_name = {table.name: table for table in mlporter.inspect(extended).tables}
    assert (by_name["extra"].kind, by_name["extra"].rows) == ("unknown", 3)


def test_what_the_target_has_no_place_for_is_named(extended, mlflow_sqlite, tmp_path):
    bundle = str(tmp_path / "bundle")
    mlporter.export(extended, bundle, include_tables=["extra"])
    target, root = sqlite_url(mlflow_sqlite), str(tmp_path / "r")
    result = mlporter.import_(bundle, target, artifact_root=root, include_tables=["extra"])
    assert result.exit_code == ExitCode.INCOMPLETE
    named = {(i.kind, i.id, i.path, i.reason) for i in result.left_out.first if not i.expected}
    assert named == {
        ("table", "extra", "", "unknown"),
        ("column", "runs", "priority", "unknown"),
        ("column", "params", "note", "unknown"),
    }
    assert {t.table: t.copied for t in result.tables}["runs"] == 4


def test_a_target_with_the_same_extras_takes_them(plain_sqlite, mlflow_sqlite, tmp_path):
    source, target = plain_sqlite.tracking_uri, sqlite_url(mlflow_sqlite)
    everything = statements(COLUMNS + TABLE["sqlite"])
    execute(source, *everything)
    execute(target, *(s for s in everything if not s.strip().startswith(("INSERT", "UPDATE"))))
    bundle = str(tmp_path / "bundle")
    mlporter.export(source, bundle, include_tables=["extra"])
    wanted = {"artifact_root": tmp_path / "root", "include_tables": ["extra"]}
    assert mlporter.import_(bundle, target, **wanted).exit_code == 0
    again = mlporter.import_(bundle, target, **wanted)
    assert (again.exit_code, again.rows) == (0, 0)
    for query in (
        "SELECT * FROM extra ORDER BY a, b",
        "SELECT run_uuid, priority FROM runs ORDER BY 1",
        "SELECT run_uuid, key, note FROM params ORDER BY 1, 2",
    ):
        assert rows(target, query) == rows(source, query)
    assert mlporter.diff(bundle, target, include_tables=["extra"]).identical


@pytest.fixture(params=["sqlite", "postgresql"])
def keyless(request):
    """A registry with a table that has no primary key, and two equal rows in it."""
    if request.param == "sqlite":
        url = sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    else:
        url = request.getfixturevalue("mlflow_postgres_url")
    execute(url, *statements(WITHOUT_KEY))
    return url


def test_no_row_of_a_table_without_a_key_is_lost(keyless, tmp_path):
    bundle = tmp_path / "bundle"
    mlporter.export(keyless, str(bundle), include_tables=["no Key"])
    found = mlporter.show(str(bundle), "no Key").read_all().to_pylist()
    assert sorted((row["n"] or 0, row["select"]) for row in found) == [
        (0, "a"),
        (1, "c"),
        (2, "a"),
        (2, "b"),
        (2, "b"),
    ]
    mlporter.export(keyless, str(tmp_path / "again"), include_tables=["no Key"])
    (part,) = (bundle / "tables" / "no%20%4Bey").iterdir()
    assert (tmp_path / "again" / part.relative_to(bundle)).read_bytes() == part.read_bytes()


def test_a_table_without_a_key_is_no_difference(keyless, tmp_path):
    mlporter.export(keyless, str(tmp_path / "bundle"), include_tables=["no Key"])
    assert mlporter.verify(str(tmp_path / "bundle"), against=keyless).exit_code == 0


def test_a_target_with_the_same_table_without_a_key_takes_its_rows(
    keyless, mlflow_sqlite, tmp_path
):
    target = mlflow_sqlite.with_name("other.db")
    copy_sqlite(mlflow_sqlite, target)
    (create, *_) = statements(WITHOUT_KEY)
    execute(sqlite_url(target), 'DROP TABLE IF EXISTS "no Key"', create)
    mlporter.copy(keyless, sqlite_url(target), artifacts="none", include_tables=["no Key"])
    found = rows(sqlite_url(target), 'SELECT n, "select" FROM "no Key" ORDER BY n IS NULL, 1, 2')
    assert found == [(1, "c"), (2, "a"), (2, "b"), (2, "b"), (None, "a")]
