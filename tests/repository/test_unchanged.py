"""A database that nobody has written to is not read again; every other one is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

import mlporter
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import BundleDamagedError, ExitCode
from mlporter.repository.layout import part_object
from mlporter.repository.repository import Repository
from mlporter.stores.database.source import DatabaseSource

RUN = f"{1:032x}"
TABLES = {"metrics", "params", "tags"}


@pytest.fixture
def read(monkeypatch):
    """The tables that were read, of all that every run has rows in."""
    names = set()
    real = DatabaseSource.read

    def reading(source, table, columns=None, among=None):
        names.update({table} & TABLES)
        return real(source, table, columns, among)

    monkeypatch.setattr(DatabaseSource, "read", reading)
    return names


def test_nothing_is_read_again_and_all_is_there(registry, tmp_path, read):
    mlporter.backup(registry.url, tmp_path / "r")
    registry.write(RUN, "small.txt", b"files are looked at all the same")
    read.clear()
    second = mlporter.backup(registry.url, tmp_path / "r")
    assert read == set()
    assert second.snapshot.added.contents == 1
    assert mlporter.diff(registry.url, f"{tmp_path / 'r'}/@latest").exit_code == ExitCode.OK
    mlporter.backup(registry.url, tmp_path / "r", full=True)
    assert read == TABLES


def changed_by_sql(registry):
    registry.set_tag(RUN, "team", "b")


def another_file_in_its_place(registry):
    copy = registry.database.with_name("copy.db")
    shutil.copy2(registry.database, copy)
    with closing(sqlite3.connect(copy)) as base, base:
        base.execute("UPDATE tags SET value = 'b'")
    os.utime(copy, ns=(stamp := registry.database.stat().st_mtime_ns, stamp))
    copy.replace(registry.database)


def written_over_by_hand(registry):
    stamp = registry.database.stat().st_mtime_ns
    data = registry.database.read_bytes()
    at = data.index(b"teama")  # a key and its value
    with registry.database.open("r+b") as file:
        file.seek(at)
        file.write(b"teamb")
    os.utime(registry.database, ns=(stamp, stamp))


def written_with_a_log(registry):
    registry.sql("PRAGMA journal_mode = WAL")
    registry.set_tag(RUN, "team", "b")


@pytest.mark.parametrize(
    "change",
    [changed_by_sql, another_file_in_its_place, written_over_by_hand, written_with_a_log],
)
def test_every_change_is_seen(registry, tmp_path, change):
    mlporter.backup(registry.url, tmp_path / "r")
    change(registry)
    mlporter.backup(registry.url, tmp_path / "r")
    with mlporter.open(f"{tmp_path / 'r'}/@latest") as kept:
        tags = [row for batch in kept.read("tags") for row in batch.to_pylist()]
    assert "b" in {row["value"] for row in tags}


def test_what_is_said_of_rows_is_said_again(registry, tmp_path, read):
    registry.sql("UPDATE params SET value = 'a' || char(0) || 'b' WHERE run_uuid = ?", RUN)
    first = mlporter.backup(registry.url, tmp_path / "r").result.left_out
    read.clear()
    assert mlporter.backup(registry.url, tmp_path / "r").result.left_out == first
    assert first.first
    assert "params" in read


def test_a_part_that_is_missing_is_not_taken_for_there(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "r")
    repository = Repository.open(LocalStorage(tmp_path / "r"))
    [snapshot] = repository.snapshots()
    [part] = repository.manifest(snapshot).tables["tags"].parts
    (tmp_path / "r" / part_object(part.sha256)).unlink()
    with pytest.raises(BundleDamagedError):
        mlporter.backup(registry.url, tmp_path / "r")
