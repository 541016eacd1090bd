"""An import that fails, wherever it fails, leaves neither rows nor files.

Issue of mlflow-export-import (PEERS.md): half-transferred run (#205), truncated experiments (#250).
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import psycopg2
import pytest

import mlporter
from mlporter.errors import (
    BundleDamagedError,
    ExitCode,
    MlporterError,
    RefusedError,
    UnreachableError,
)
from mlporter.stores.database.connection.connection import AdbcConnection
from mlporter.stores.rows.last_sent import LastSent
from tests.support.contents import damage_content, lose_content
from tests.support.databases import execute, row_counts, rows, tree
from tests.support.mlflow_session import sqlite_url
from tests.support.others import sqlite_held
from tests.support.plain_registry import fill_metrics
from tests.support.rich_registry import add_what_only_sqlite_holds

both_engines = pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)


def state(url, root):
    """All that an import could leave behind."""
    there = row_counts(url)
    beside = set()
    if url.startswith("sqlite"):
        beside = {path.name for path in Path(url.removeprefix("sqlite:///")).parent.iterdir()}
    return there, tree(Path(root)), beside


@pytest.fixture
def unchanged(target_url, tmp_path):
    """Checks, at the end, that a target and its artifact root are as they were; gives both."""
    root = tmp_path / "root"
    before = state(target_url, root)
    yield target_url, str(root)
    assert state(target_url, root) == before
    assert not root.exists()


@pytest.fixture
def damaged(plain_bundle, tmp_path):
    """A copy of the plain bundle, to be damaged."""
    shutil.copytree(plain_bundle, tmp_path / "damaged")
    return tmp_path / "damaged"


# --- What the target would not take is refused, and nothing stays ---------------------------------


@pytest.mark.parametrize("target_url", ["postgresql"], indirect=True)
def test_values_that_postgresql_refuses_are_all_named_and_nothing_stays(
    plain_sqlite, unchanged, tmp_path
):
    url, root = unchanged
    run = plain_sqlite.run_ids[0]
    execute(
        plain_sqlite.tracking_uri,
        f"INSERT INTO params VALUES ('{'k' * 300}', 'long key', '{run}')",
        f"INSERT INTO tags VALUES ('nul', 'a' || char(0) || 'b', '{run}')",
        f"UPDATE experiments SET name = '{'n' * 500}' WHERE experiment_id = 1",
    )
    bundle = str(tmp_path / "bundle")
    mlporter.export(plain_sqlite.tracking_uri, bundle)
    for source, transfer in ((bundle, mlporter.import_), (plain_sqlite.tracking_uri, copy)):
        with pytest.raises(RefusedError) as caught:
            transfer(source, url, artifact_root=root)
        assert caught.value.exit_code == ExitCode.REFUSED
        reasons = "\n".join(caught.value.reasons)
        # All at once, each by name.
        assert len(caught.value.reasons) == 3
        assert (
            f"params '{run}/{'k' * 60}': key has 300 characters, the target allows 250" in reasons
        )
        assert f"tags '{run}/nul': value has a NUL character" in reasons
        assert "experiments '1': name has 500 characters, the target allows 256" in reasons


def copy(source, target, **options):
    return mlporter.copy(source, target, **options)


def test_ids_of_a_migrated_file_store_move_between_sqlite_files(
    rich_sqlite, mlflow_sqlite, tmp_path
):
    add_what_only_sqlite_holds(rich_sqlite.database_path)
    bundle, target = str(tmp_path / "bundle"), sqlite_url(mlflow_sqlite)
    mlporter.export(rich_sqlite.tracking_uri, bundle, artifacts="none")
    mlporter.import_(bundle, target, artifact_root=str(tmp_path / "root"))
    assert mlporter.diff(bundle, target).identical


# --- The bundle turns out to be damaged -----------------------------------------------------------


@both_engines
def test_a_damaged_blob_found_in_the_middle_leaves_nothing(damaged, unchanged):
    url, root = unchanged
    with pytest.raises(BundleDamagedError, match=damage_content(damaged)) as caught:
        mlporter.import_(str(damaged), url, artifact_root=root)
    assert caught.value.exit_code == ExitCode.BUNDLE


@both_engines
def test_a_missing_blob_leaves_nothing(damaged, unchanged):
    url, root = unchanged
    with pytest.raises(BundleDamagedError, match=lose_content(damaged)):
        mlporter.import_(str(damaged), url, artifact_root=root)


@both_engines
def test_a_damaged_table_leaves_nothing(damaged, unchanged):
    url, root = unchanged
    part = damaged / "tables" / "tags" / "00000.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(BundleDamagedError, match="tags"):
        mlporter.import_(str(damaged), url, artifact_root=root)


def test_a_new_database_never_appears_if_the_import_fails(damaged, tmp_path):
    damage_content(damaged)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(BundleDamagedError):
        mlporter.import_(
            str(damaged), f"sqlite:///{place}/new.db", artifact_root=str(place / "root")
        )
    assert tree(place) == {}


def test_an_empty_postgresql_database_still_takes_an_import_after_one_that_failed(
    damaged, plain_bundle, empty_postgres_url, tmp_path
):
    """MLflow creates its tables outside of our transaction: they stay, and hold nothing."""
    damage_content(damaged)
    with pytest.raises(BundleDamagedError):
        mlporter.import_(str(damaged), empty_postgres_url, artifact_root=str(tmp_path / "root"))
    counts = row_counts(empty_postgres_url)
    left = {name: count for name, count in counts.items() if count}
    assert left == {"alembic_version": 1, "workspaces": 1}
    assert not (tmp_path / "root").exists()
    mlporter.import_(str(plain_bundle), empty_postgres_url, artifact_root=str(tmp_path / "root"))


# --- The artifact root does not take the files ----------------------------------------------------


@both_engines
def test_an_artifact_root_that_cannot_be_written_leaves_nothing(plain_bundle, target_url, tmp_path):
    (tmp_path / "file").write_text("in the way")
    before = state(target_url, tmp_path)
    with pytest.raises(UnreachableError, match="file") as caught:
        mlporter.import_(str(plain_bundle), target_url, artifact_root=str(tmp_path / "file/root"))
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert state(target_url, tmp_path) == before


@both_engines
def test_a_file_of_somebody_else_is_never_overwritten(
    plain_bundle, plain_sqlite_template, target_url, tmp_path
):
    run = plain_sqlite_template.run_ids[0]
    there = tmp_path / "root" / "1" / run / "artifacts" / "nested" / "same.txt"
    there.parent.mkdir(parents=True)
    there.write_text("somebody else's")
    before = state(target_url, tmp_path / "root")
    with pytest.raises(RefusedError, match="another file is already there") as caught:
        mlporter.import_(str(plain_bundle), target_url, artifact_root=str(tmp_path / "root"))
    assert "same.txt" in str(caught.value)
    assert state(target_url, tmp_path / "root") == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 24 kB, which is too small for the plain registry's files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@both_engines
def test_a_full_disk_leaves_nothing(plain_bundle, target_url, small_disk):
    before = state(target_url, small_disk)
    with pytest.raises(UnreachableError, match="No space left on device") as caught:
        mlporter.import_(str(plain_bundle), target_url, artifact_root=str(small_disk / "root"))
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert state(target_url, small_disk) == before


def test_files_in_s3_are_taken_back(damaged, mlflow_sqlite, s3):
    bucket = s3.new_bucket()
    lose_content(damaged)
    client = s3.client()
    name = bucket.removeprefix("s3://")
    client.put_object(Bucket=name, Key="mlflow/0/theirs.txt", Body=b"theirs")
    target = sqlite_url(mlflow_sqlite)
    before = row_counts(target)
    with pytest.raises(BundleDamagedError):
        mlporter.import_(str(damaged), target, artifact_root=f"{bucket}/mlflow", workers=2)
    assert row_counts(target) == before
    listed = client.list_objects_v2(Bucket=name).get("Contents", [])
    client.close()
    assert [entry["Key"] for entry in listed] == ["mlflow/0/theirs.txt"]


# --- The database fails ---------------------------------------------------------------------------

REFUSE = {
    "sqlite": """CREATE TRIGGER refuse BEFORE INSERT ON tags
        BEGIN SELECT RAISE(ABORT, 'no tags here'); END""",
    "postgresql": """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no tags here'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON tags EXECUTE FUNCTION refuse()""",
}


@both_engines
def test_a_row_that_the_database_refuses_leaves_nothing(plain_bundle, unchanged):
    url, root = unchanged
    execute(url, REFUSE[url.partition("+")[0].partition(":")[0]])
    with pytest.raises(UnreachableError, match="no tags here") as caught:
        mlporter.import_(str(plain_bundle), url, artifact_root=root)
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert "table tags" in str(caught.value)


@pytest.mark.parametrize("target_url", ["postgresql"], indirect=True)
def test_a_connection_that_breaks_in_the_middle_leaves_nothing(plain_bundle, unchanged):
    url, root = unchanged

    def cut(step, done, total, unit="rows"):
        if step == "writing tags":
            with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as other:
                other.autocommit = True
                with other.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )

    with pytest.raises(MlporterError) as caught:
        mlporter.import_(str(plain_bundle), url, artifact_root=root, on_progress=cut)
    assert caught.value.exit_code == ExitCode.UNREACHABLE


@both_engines
def test_what_reads_back_differently_is_never_kept(plain_bundle, unchanged):
    """A trigger that changes what is written: found by reading back, whoever made it."""
    url, root = unchanged
    if url.startswith("sqlite"):
        execute(
            url,
            "CREATE TRIGGER meddle AFTER INSERT ON params"
            " BEGIN UPDATE params SET value = 'other' WHERE key = new.key; END",
        )
    else:
        execute(
            url,
            "CREATE FUNCTION meddle() RETURNS trigger AS"
            " $$ BEGIN new.value := 'other'; RETURN new; END $$ LANGUAGE plpgsql",
            "CREATE TRIGGER meddle BEFORE INSERT ON params FOR EACH ROW EXECUTE FUNCTION meddle()",
        )
    with pytest.raises(MlporterError, match="read back something other") as caught:
        mlporter.import_(str(plain_bundle), url, artifact_root=root)
    assert caught.value.exit_code == ExitCode.BUG


# --- Interrupted ----------------------------------------------------------------------------------

STEPS = ("writing workspaces", "writing metrics", "reading back tags", "copying artifacts")


@pytest.mark.parametrize("target_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_an_interrupt_at_any_step_leaves_nothing(step, plain_bundle, unchanged):
    url, root = unchanged
    interrupt(step, plain_bundle, url, root)


@pytest.mark.parametrize("step", STEPS)
def test_an_interrupt_at_any_step_leaves_no_new_sqlite_file(
    step, plain_bundle, tmp_path, mlflow_sqlite, monkeypatch
):
    # MLflow takes seconds to create its tables; a copy of what it made will do here.
    monkeypatch.setattr(
        "mlporter.stores.database.target.create_schema",
        lambda _address, _revision, file: shutil.copy(mlflow_sqlite, file),
    )
    place = tmp_path / "place"
    place.mkdir()
    interrupt(step, plain_bundle, f"sqlite:///{place}/new.db", str(place / "root"))
    assert tree(place) == {}


def interrupt(step, bundle, url, root):
    def stop(now, done, total, unit="rows"):
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mlporter.import_(str(bundle), url, artifact_root=root, on_progress=stop)


@both_engines
def test_an_interrupt_in_the_moment_of_commit_never_parts_rows_and_files(
    plain_bundle, target_url, tmp_path, monkeypatch
):
    """All or nothing: here the rows are in, so the files have to be there as well."""
    execute_really = AdbcConnection.execute

    def execute_and_interrupt(self, sql):
        execute_really(self, sql)
        if sql == "COMMIT":
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(AdbcConnection, "execute", execute_and_interrupt)
    root = tmp_path / "root"
    # Too late to stop: so it is done, and says so.
    assert mlporter.import_(str(plain_bundle), target_url, artifact_root=str(root)).exit_code == 0
    monkeypatch.undo()
    assert rows(target_url, "SELECT count(*) FROM runs") == [(4,)]
    assert mlporter.diff(str(plain_bundle), target_url).identical


class Interrupted(ThreadPoolExecutor):
    """Is interrupted around what it is given to do, in some moments."""

    moments: ClassVar[list[str]] = []

    def at(self, moment):
        if moment in self.moments:
            raise KeyboardInterrupt

    def submit(self, *call):
        self.at("before")
        future = super().submit(*call)
        future.exception()
        self.at("while it starts")
        return future

    def __exit__(self, *raised):
        super().__exit__(*raised)
        self.at("while it ends")


@both_engines
@pytest.mark.parametrize("moment", ["while it starts", "while it ends"])
def test_an_interrupt_around_the_commit_comes_too_late(
    plain_bundle, target_url, tmp_path, monkeypatch, moment
):
    monkeypatch.setattr("mlporter.stores.database.target.ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(Interrupted, "moments", [moment])
    root = tmp_path / "root"
    assert mlporter.import_(str(plain_bundle), target_url, artifact_root=str(root)).exit_code == 0
    assert mlporter.diff(str(plain_bundle), target_url).identical


@both_engines
def test_an_interrupt_before_the_commit_undoes_everything(plain_bundle, unchanged, monkeypatch):
    url, root = unchanged
    monkeypatch.setattr("mlporter.stores.database.target.ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(Interrupted, "moments", ["before"])
    with pytest.raises(KeyboardInterrupt):
        mlporter.import_(str(plain_bundle), url, artifact_root=root)


# --- Two at a time --------------------------------------------------------------------------------


def test_two_imports_into_one_postgresql_database_never_mix(
    plain_bundle, mlflow_postgres_url, tmp_path
):
    refused = []

    def second(step, done, total, unit="rows"):
        if step == "writing runs" and not refused:
            with pytest.raises(RefusedError, match="another import into this database") as caught:
                mlporter.import_(
                    str(plain_bundle), mlflow_postgres_url, artifact_root=str(tmp_path / "second")
                )
            refused.append(caught.value.exit_code)

    first = tmp_path / "first"
    mlporter.import_(
        str(plain_bundle), mlflow_postgres_url, artifact_root=str(first), on_progress=second
    )
    assert refused == [ExitCode.REFUSED]
    assert not (tmp_path / "second").exists()
    assert mlporter.diff(str(plain_bundle), mlflow_postgres_url).identical


def test_a_sqlite_target_that_somebody_writes_to_is_never_mixed_with(
    plain_bundle, mlflow_sqlite, tmp_path, monkeypatch
):
    monkeypatch.setattr("mlporter.stores.database.engines.sqlite._BUSY_MILLISECONDS", 10)
    url = sqlite_url(mlflow_sqlite)
    with sqlite_held(mlflow_sqlite, "BEGIN IMMEDIATE"):
        with pytest.raises(RefusedError, match="another process is writing") as caught:
            mlporter.import_(str(plain_bundle), url, artifact_root=str(tmp_path / "root"))
        assert caught.value.exit_code == ExitCode.REFUSED
    assert not (tmp_path / "root").exists()


def test_where_what_is_sent_cannot_be_remembered_nothing_is_sent(mlflow_sqlite, tmp_path):
    """It is noted beside the writing, in another thread."""
    fill_metrics(sqlite_url(mlflow_sqlite), runs=2, keys=1, steps=3)
    kept, target = tmp_path / "kept", tmp_path / "copied.db"
    with closing(LastSent(kept)) as state:
        state.commit()
    refusing = "CREATE TRIGGER no BEFORE INSERT ON digests BEGIN SELECT RAISE(ABORT, 'no'); END"
    with closing(sqlite3.connect(kept / "base.sqlite")) as base:
        base.execute(refusing)
    url = sqlite_url(mlflow_sqlite)
    with pytest.raises(UnreachableError, match="last sent"):
        mlporter.copy(url, sqlite_url(target), artifacts="none", state=kept)
    assert not target.exists()
    with closing(sqlite3.connect(kept / "base.sqlite")) as base:
        base.execute("DROP TRIGGER no")
    mlporter.copy(url, sqlite_url(target), artifacts="none", state=kept)
    again = mlporter.sync(url, sqlite_url(target), artifacts="none", state=kept)
    assert (again.rows, again.exit_code) == (0, ExitCode.OK)
