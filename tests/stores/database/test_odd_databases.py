"""Databases that people edited, or that are in an odd state: read whole, or refused by name."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import mlporter
from mlporter.errors import (
    AccessDeniedError,
    MlporterError,
    RefusedError,
    RevisionError,
    UnreachableError,
)
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.engines import sqlite
from mlporter.stores.opening import open_source
from tests.support.databases import execute, rows, tree
from tests.support.here import NEWEST
from tests.support.mlflow_session import sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    return request.getfixturevalue("mlflow_postgres_url")


NAME = 'it\'s "odd"; DROP TABLE runs; --'


def test_tables_and_columns_may_be_called_anything(url, tmp_path):
    quoted = '"' + NAME.replace('"', '""') + '"'
    execute(url, f"CREATE TABLE {quoted} ({quoted} VARCHAR(9) PRIMARY KEY, b TEXT)")
    execute(url, f"INSERT INTO {quoted} VALUES ('a', 'b')")
    mlporter.export(url, str(tmp_path / "bundle"), include_tables=[NAME])
    assert mlporter.verify(str(tmp_path / "bundle")).exit_code == 0
    with mlporter.open(str(tmp_path / "bundle")) as registry:
        assert registry.read(NAME).read_all().to_pylist() == [{NAME: "a", "b": "b"}]
    assert rows(url, "SELECT count(*) FROM runs") == [(0,)]


def test_a_view_in_the_place_of_a_table_is_not_left_out_in_silence(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE params RENAME TO kept",
        "CREATE VIEW params AS SELECT * FROM kept",
    )
    with pytest.raises(RefusedError, match="lacks tables") as caught:
        open_source(url)
    assert caught.value.reasons == ("there is no table params",)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["DELETE FROM alembic_version"], "0 rows"),
        (["INSERT INTO alembic_version VALUES ('7d34483879f0')"], "2 rows"),
        (
            [
                "UPDATE alembic_version SET version_num = 'a'",
                "INSERT INTO alembic_version VALUES ('b')",
            ],
            "2 rows",
        ),
    ],
)
def test_a_revision_that_is_none_or_two_is_refused(url, statements, found):
    execute(url, *statements)
    with pytest.raises(RefusedError, match=f"alembic_version has {found}"):
        open_source(url)


def test_another_program_s_revision_beside_mlflow_s_is_passed_over(url):
    execute(url, "INSERT INTO alembic_version VALUES ('22ed7efa9da2')")
    with closing(open_source(url)) as source:
        assert source.description.revision == NEWEST


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        (("dag", "dag_run"), "Airflow"),
        (("studies", "trials"), "Optuna"),
    ],
)
def test_another_program_s_revision_is_not_called_a_newer_mlflow(url, tables, named):
    execute(url, *(f"CREATE TABLE {table} (id INTEGER)" for table in tables))
    execute(url, "UPDATE alembic_version SET version_num = '22ed7efa9da2'")
    with pytest.raises(RevisionError) as refused:
        open_source(url)
    assert "22ed7efa9da2" in refused.value.message
    assert named in str(refused.value.hint)
    assert "upgrade" not in str(refused.value.hint)


def test_of_an_unknown_revision_nobody_knows_whose_other_tables_are(url, tmp_path):
    execute(
        url, "CREATE TABLE odd_ones (id INTEGER PRIMARY KEY)", "INSERT INTO odd_ones VALUES (1)"
    )
    result = mlporter.export(url, str(tmp_path / "known"))
    assert (result.exit_code, [i.id for i in result.left_out.first]) == (0, ["odd_ones"])
    execute(url, "UPDATE alembic_version SET version_num = '22ed7efa9da2'")
    result = mlporter.export(url, str(tmp_path / "unknown"))
    assert [i.id for i in result.left_out.first if not i.expected] == ["odd_ones"]
    assert result.exit_code == 3


def test_a_revision_that_nobody_else_can_have_written_is_a_newer_mlflow_s(url):
    execute(url, "UPDATE alembic_version SET version_num = '22ed7efa9da2'")
    with closing(open_source(url)) as source:
        assert source.description.revision == "22ed7efa9da2"
        assert "22ed7efa9da2" in str(source.description.as_found)
    execute(url, "ALTER TABLE params RENAME TO parameters")
    with pytest.raises(RevisionError) as refused:
        open_source(url)
    assert "newer MLflow" in str(refused.value.hint)
    assert "no table params (there is parameters" in refused.value.reasons[0]


def test_a_schema_that_is_not_searched_is_named(mlflow_postgres_url, cli):
    execute(mlflow_postgres_url, "ALTER SCHEMA public RENAME TO ml", "CREATE SCHEMA public")
    done = cli("inspect", mlflow_postgres_url, "--json")
    assert done.code == 4
    hint = done.json["error"]["hint"]
    assert "the schema ml," in hint
    option = hint.partition("&")[2].partition(",")[0]
    found = cli("inspect", f"{mlflow_postgres_url}&{option}", "--json")
    assert found.code == 0, found.err


def test_a_second_registry_is_not_made_because_a_schema_is_not_searched(
    mlflow_postgres_url, cli, plain_sqlite
):
    url = mlflow_postgres_url
    execute(url, "ALTER SCHEMA public RENAME TO ml", "CREATE SCHEMA public", "CREATE SCHEMA second")
    words = ("copy", plain_sqlite.tracking_uri, url, "--artifacts", "none")
    for more in ((), ("--dry-run",)):
        done = cli(*words, *more, "--json")
        assert done.code == 4, done.err
        assert "search_path%3Dml" in done.json["error"]["hint"]
    found = "SELECT count(*) FROM pg_class WHERE relname = 'runs'"
    assert rows(url, found) == [(1,)]
    named = f"{url}&options=-csearch_path%3Dsecond"
    done = cli("copy", plain_sqlite.tracking_uri, named, "--artifacts", "none")
    assert done.code == 0, done.err
    assert rows(url, found) == [(2,)]


def test_another_database_of_the_server_is_named(mlflow_mysql_url, empty_mysql_url, cli):
    name = mlflow_mysql_url.partition("?")[0].rpartition("/")[2]
    done = cli("inspect", empty_mysql_url, "--json")
    assert done.code == 4
    assert name in done.json["error"]["hint"]


# --- States of a SQLite file ----------------------------------------------------------------------

CRASH = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size = 5")
c.execute("BEGIN EXCLUSIVE")
c.execute("CREATE TABLE big (x)")
c.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
          " INSERT INTO big SELECT randomblob(3000) FROM n")
os._exit(0)
"""


def test_a_writer_that_crashed_in_a_transaction(mlflow_sqlite):
    subprocess.run([sys.executable, "-c", CRASH, str(mlflow_sqlite)], check=True)
    journal = mlflow_sqlite.with_name(mlflow_sqlite.name + "-journal")
    assert journal.exists()
    before = tree(mlflow_sqlite.parent)
    with pytest.raises(RefusedError, match="stopped in the middle of a transaction") as caught:
        open_source(sqlite_url(mlflow_sqlite))
    assert journal.name in str(caught.value.hint)
    assert tree(mlflow_sqlite.parent) == before
    # What the hint says helps.
    with closing(sqlite3.connect(mlflow_sqlite)) as connection:
        connection.execute("SELECT count(*) FROM runs").fetchone()
    open_source(sqlite_url(mlflow_sqlite)).close()


HOLD = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_is_held_is_named(mlflow_sqlite, monkeypatch):
    """Held by another process: the locks of two SQLite libraries in one process do not meet."""
    monkeypatch.setattr(sqlite, "_BUSY_MILLISECONDS", 10)
    holder = [sys.executable, "-c", HOLD, str(mlflow_sqlite)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UnreachableError, match="another process holds a lock"):
            open_source(sqlite_url(mlflow_sqlite))
        other.stdin.close()


def test_changes_that_cannot_be_read_without_writing(tmp_path):
    """On read-only media, where SQLite cannot make the file that it shares with others."""
    path = tmp_path / "mlflow.db"
    (tmp_path / "mlflow.db-wal").touch()
    error = sqlite.why_unreadable(path, "sqlite:///mlflow.db", "unable to open database file")
    assert "together with mlflow.db-wal, which holds its last changes" in str(error)
    assert "copy of both" in str(error.hint)


# --- Names of SQLite files ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["with space", "a#b", "50%", "a%20b", "ünï", "it's", "a;b", "a:b"])
def test_a_new_database_gets_the_very_name_that_mlflow_opens(name, tmp_path):
    import sqlalchemy  # noqa: PLC0415 -- takes a moment to import

    text = f"sqlite:///{tmp_path}/{name}.db"
    assert str(parse_address(text).path) == sqlalchemy.make_url(text).database


def test_a_file_that_is_there_is_taken_by_its_very_name(tmp_path):
    (tmp_path / "a%20b.db").touch()
    assert parse_address(f"sqlite:///{tmp_path}/a%20b.db").path == tmp_path / "a%20b.db"


def test_a_folder_that_cannot_be_written_is_named(tmp_path, mlflow_sqlite, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(AccessDeniedError, match="cannot be written"):
        mlporter.copy(sqlite_url(mlflow_sqlite), sqlite_url(tmp_path / "new.db"), artifacts="none")
    assert issubclass(AccessDeniedError, MlporterError)
