"""No command ever changes the place that it reads: not the database, not a file beside it.

MLflow itself migrates a database that it opens, and leaves a folder ``mlruns`` where it ran.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mlporter
from mlporter.cli.app import run
from tests.support.databases import row_counts, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.others import sqlite_held
from tests.support.rich_registry import copy_with_artifacts

COMMANDS = {
    "export": ("export", "{source}", "{new}"),
    "export without files": ("export", "{source}", "{new}", "--artifacts", "none"),
    "inspect": ("inspect", "{source}"),
    "show": ("show", "{source}", "metrics", "--format", "csv"),
    "doctor": ("doctor", "{source}"),
    "diff": ("diff", "{source}", "{bundle}"),
    "verify": ("verify", "{bundle}", "--against", "{source}"),
    "copy": ("copy", "{source}", "sqlite:///{target}", "--artifact-root", "{new}"),
}


def rollback_journal(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)


def wal(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)


@pytest.fixture(params=[rollback_journal, wal], ids=["rollback journal", "WAL"])
def source(request, plain_sqlite):
    request.param(plain_sqlite.database_path)
    return plain_sqlite


@pytest.fixture
def bundle(plain_bundle):
    """The plain registry as a bundle. The same for all, as none of them changes it."""
    return plain_bundle


def run_with(words, source, bundle, target, tmp_path):
    names = {"new": tmp_path / "new", "bundle": bundle, "source": source, "target": target}
    return run([word.format(**names) for word in words])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_changes_its_source(command, source, bundle, mlflow_sqlite, tmp_path):
    folder = source.database_path.parent
    before, modified = tree(folder), source.database_path.stat().st_mtime_ns
    in_bundle = tree(bundle)
    code = run_with(COMMANDS[command], source.tracking_uri, bundle, mlflow_sqlite, tmp_path)
    assert code == 0
    assert tree(folder) == before
    assert source.database_path.stat().st_mtime_ns == modified
    assert tree(bundle) == in_bundle
    # MLflow leaves a folder ``mlruns`` where it is used.
    assert {path.name for path in tmp_path.iterdir()} <= {"new", "plain", "empty"}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_checkpoints_somebody_elses_log(
    command, plain_sqlite, bundle, mlflow_sqlite, tmp_path
):
    """A server that holds the database open, with rows that are only in the log so far."""
    path = plain_sqlite.database_path
    wal(path)
    log = f"INSERT INTO tags VALUES ('log', 'only', '{plain_sqlite.run_ids[0]}')"
    with sqlite_held(path, "PRAGMA wal_autocheckpoint = 0", log):
        folder = path.parent
        before = tree(folder)
        assert (folder / "mlflow.db-wal").stat().st_size > 0
        code = run_with(
            COMMANDS[command], plain_sqlite.tracking_uri, bundle, mlflow_sqlite, tmp_path
        )
        # The bundle lacks the row of the log: so diff sees it, and says so.
        assert code == (1 if command in {"diff", "verify"} else 0)
        # The index into the log is shared memory: readers note there how far they read.
        unlike = {name for name, value in tree(folder).items() if before[name] != value}
        assert unlike <= {"mlflow.db-shm"}
        assert set(tree(folder)) == set(before)
    if command == "export":
        exported = pq.read_table(tmp_path / "new" / "tables" / "tags").to_pylist()
        assert "log" in {row["key"] for row in exported}
    if command == "copy":
        assert rows(sqlite_url(mlflow_sqlite), "SELECT value FROM tags WHERE key = 'log'") == [
            ("only",)
        ]


def test_rows_in_the_log_of_a_server_that_died_are_never_lost(plain_sqlite, tmp_path):
    """A database whose writer was killed: its log stays beside it, and is part of it."""
    path = plain_sqlite.database_path
    wal(path)
    log = f"INSERT INTO tags VALUES ('log', 'only', '{plain_sqlite.run_ids[0]}')"
    with sqlite_held(path, "PRAGMA wal_autocheckpoint = 0", log):
        pass
    # As restored from a backup: the shared memory is not a file of the database's.
    path.with_name("mlflow.db-shm").unlink()
    crashed = path.parent
    before = tree(crashed)
    mlporter.export(sqlite_url(crashed / "mlflow.db"), str(tmp_path / "bundle"), artifacts="none")
    exported = pq.read_table(tmp_path / "bundle" / "tables" / "tags").to_pylist()
    assert "log" in {row["key"] for row in exported}
    after = tree(crashed)
    after.pop("mlflow.db-shm", None)
    assert after == before


def test_a_database_on_read_only_media_can_be_read(plain_sqlite, tmp_path, monkeypatch):
    path = plain_sqlite.database_path
    wal(path)
    before = tree(path.parent)
    # Nothing can be denied to root; to the program it looks the same.
    monkeypatch.setattr(os, "access", lambda *_: False)
    mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert tree(path.parent) == before


def test_reading_postgresql_writes_nothing(rich_postgres, mlflow_sqlite, tmp_path):
    url = rich_postgres.tracking_uri
    before = row_counts(url)
    written = written_rows(url)
    for command in ("export", "inspect", "show", "doctor", "copy"):
        code = run_with(COMMANDS[command], url, "", mlflow_sqlite, tmp_path / command)
        assert code in {0, 3}
    assert run_with(COMMANDS["diff"], url, tmp_path / "export" / "new", "", tmp_path) == 0
    assert row_counts(url) == before
    assert written_rows(url) == written


def written_rows(url):
    """How many rows were ever inserted, changed or deleted, as the server counts them."""
    rows(url, "SELECT pg_stat_force_next_flush()")
    return rows(
        url,
        "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del) FROM pg_stat_user_tables",
    )


def test_artifacts_are_never_touched(rich_sqlite_private, tmp_path):
    root = Path(rich_sqlite_private.artifact_root)
    times = {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}
    before = tree(root)
    mlporter.export(rich_sqlite_private.tracking_uri, str(tmp_path / "bundle"))
    mlporter.diff(str(tmp_path / "bundle"), rich_sqlite_private.tracking_uri)
    assert tree(root) == before
    assert {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))} == times


def test_a_bundle_is_read_only_to_import_verify_and_unpack(rich_bundle, mlflow_sqlite, tmp_path):
    before = tree(rich_bundle)
    target, root = sqlite_url(mlflow_sqlite), str(tmp_path / "root")
    assert mlporter.import_(str(rich_bundle), target, artifact_root=root).exit_code == 0
    assert mlporter.verify(str(rich_bundle), against=target).exit_code == 0
    mlporter.unpack(str(rich_bundle), str(tmp_path / "out"))
    assert mlporter.inspect(str(rich_bundle)).kind == "bundle"
    assert tree(rich_bundle) == before


def test_a_copy_of_the_registry_is_no_alias_of_it(plain_sqlite, tmp_path):
    """Files are copied, not linked: a change of the copy is none of the source's."""
    other = copy_with_artifacts(plain_sqlite, tmp_path / "other")
    target = f"sqlite:///{tmp_path}/target.db"
    mlporter.copy(other.tracking_uri, target, artifact_root=str(tmp_path / "root"))
    links = {path.stat().st_nlink for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert links == {1}
