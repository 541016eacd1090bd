"""One state of a database, whoever writes to it meanwhile, and nobody who waits for long."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mlporter.catalogue import BY_NAME
from mlporter.errors import UnreachableError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.connection import AdbcConnection
from mlporter.stores.database.engines import sqlite_snapshot
from mlporter.stores.database.engines.sqlite_snapshot import SqliteSnapshot
from tests.support.databases import tree

TAG = "INSERT INTO experiment_tags VALUES ('{}', 'v', 0)"
LOCKED = "database is locked"
TABLE = BY_NAME["experiment_tags"]


@pytest.fixture
def database(mlflow_sqlite_template, tmp_path):
    """A database without a write-ahead log, with one tag."""
    path = tmp_path / "place" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(mlflow_sqlite_template, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(TAG.format("first"))
        connection.commit()
    return path


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]))
try:
    connection.execute(sys.argv[3])
    connection.commit()
except sqlite3.OperationalError as error:
    sys.exit(str(error))
"""


def write(path, tag, patience=0):
    """Commit a tag, or say why it failed: "" if it did not.

    In another process: POSIX knows no locks between two SQLite libraries in one.
    """
    arguments = [str(path), str(patience), TAG.format(tag)]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, *arguments], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.stderr.strip()


def tags(connection):
    batches = connection.read(TABLE, TABLE.columns)
    return [row["key"] for batch in batches for row in batch.to_pylist()]


def test_all_of_it_is_read_from_a_copy(database, temporary) -> None:
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"))) as snapshot:
        assert write(database, "later") == ""
        assert tags(snapshot.connect()) == ["first"]
        assert list(temporary.iterdir())
    assert not list(temporary.iterdir())
    assert set(tree(database.parent)) == {"mlflow.db"}


def test_a_part_is_read_where_it_lies_and_others_wait(database, temporary) -> None:
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"), part=True)) as snapshot:
        assert tags(snapshot.connect()) == ["first"]
        assert write(database, "later") == LOCKED
        assert not list(temporary.iterdir())
    assert write(database, "later") == ""


def test_nobody_waits_for_long(database, temporary, monkeypatch) -> None:
    monkeypatch.setattr(sqlite_snapshot, "_PATIENCE", 0.1)
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"), part=True)) as snapshot:
        assert write(database, "later", patience=30) == ""
        assert tags(snapshot.connect()) == ["first"]
    assert not list(temporary.iterdir())


def test_a_large_table_is_read_from_a_copy(database, temporary, monkeypatch) -> None:
    monkeypatch.setattr(sqlite_snapshot, "_MANY_ROWS", 0)
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"), part=True)) as snapshot:
        reader = snapshot.connect()
        where = "WHERE \"key\" = 'first'"
        assert sum(b.num_rows for b in reader.read(TABLE, TABLE.columns, where)) == 1
        assert not list(temporary.iterdir())
        assert tags(reader) == ["first"]
        assert write(database, "later") == ""
        assert tags(reader) == ["first"]


def test_an_empty_table_is_not_asked_twice(database, monkeypatch) -> None:
    asked = []
    really = AdbcConnection.read

    def read(self, table, *rest, **named):
        asked.append((table.name, rest[2]))
        return really(self, table, *rest, **named)

    monkeypatch.setattr(AdbcConnection, "read", read)
    runs = BY_NAME["runs"]
    made = '(SELECT "key" AS run_uuid FROM experiment_tags) AS runs'
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"), part=True)) as snapshot:
        reader = snapshot.connect()
        assert tags(reader) == ["first"]
        assert list(reader.read(runs, runs.columns)) == []
        # Rows that are made of another table's are read from there.
        (batch,) = reader.read(runs, (runs.by_name["run_uuid"],), "", made)
        assert batch.column("run_uuid").to_pylist() == ["first"]
    assert asked == [("experiment_tags", ""), ("runs", made)]


def test_what_is_being_read_is_read_to_its_end(database, temporary) -> None:
    with closing(sqlite3.connect(database)) as connection:
        many = (f"('{number:06}', 'v', 0)" for number in range(100_000))
        connection.execute(f"INSERT INTO experiment_tags VALUES {', '.join(many)}")
        connection.commit()
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"), part=True)) as snapshot:
        reader = snapshot.connect()
        begun = reader.read(TABLE, TABLE.columns)
        rows = next(begun).num_rows
        reader.get_out_of_the_way()
        assert tags(reader)[0] == "000000"
        # Whoever writes now would change pages that are still to be read.
        assert write(database, "later") == LOCKED
        assert rows + sum(batch.num_rows for batch in begun) == 100_001
        assert write(database, "later") == ""


def test_without_room_for_a_copy_others_wait(database, temporary, monkeypatch, caplog) -> None:
    usage = shutil.disk_usage(temporary)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=0))
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"))) as snapshot:
        assert tags(snapshot.connect()) == ["first"]
        assert write(database, "later") == LOCKED
    assert "no room" in caplog.text


def test_a_copy_that_cannot_be_written_is_told_with_its_place(database, temporary) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (database.stat().st_size // 2, hard))
    try:
        with pytest.raises(UnreachableError, match=f"copied to {temporary}") as caught:
            SqliteSnapshot(parse_address(f"sqlite:///{database}"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "TMPDIR" in (caught.value.hint or "")
    assert not list(temporary.iterdir())
    assert write(database, "later") == ""
    opened = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    assert database not in opened  # though the error, and what its frames have, is still there


def test_a_write_ahead_log_needs_no_copy(database, temporary) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with closing(SqliteSnapshot(parse_address(f"sqlite:///{database}"))) as snapshot:
        assert write(database, "later") == ""
        assert tags(snapshot.connect()) == ["first"]
        assert not list(temporary.iterdir())
