"""`forget`: what the rules keep, what pruning removes, and what it must not."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import datetime, timedelta, timezone

import pytest

import mlporter
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import BundleDamagedError, RefusedError, RepositoryInUseError, UsageError
from mlporter.repository.documents import Added, Snapshot
from mlporter.repository.locks import EXPIRES, locked
from mlporter.repository.publishing import snapshot_name
from mlporter.repository.retention import Retention, sort_out
from tests.support.databases import dump
from tests.support.mlflow_session import sqlite_url

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)


def snapshot(time, place="0" * 64, tags=()):
    return Snapshot(
        name=snapshot_name(time),
        started=f"{time:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{time:%Y-%m-%dT%H:%M:%SZ}",
        seconds=1,
        source="sqlite:///a.db",
        kind="sqlite",
        place=place,
        tags=tags,
        rows={},
        files=0,
        file_bytes=0,
        left_out=0,
        added=Added(contents=0, content_bytes=0, parts=0, part_bytes=0),
        manifest_bytes=1,
        manifest_sha256="0" * 64,
        mlporter="1",
    )


NIGHTLY = [snapshot(NOW - timedelta(days=days)) for days in range(400, -1, -1)]


def kept(retention, snapshots=NIGHTLY):
    return [one.snapshot.time for one in sort_out(snapshots, retention, NOW) if one.reasons]


def test_the_last_ones_are_kept():
    assert kept(Retention(last=3)) == [NOW - timedelta(days=days) for days in (2, 1, 0)]


def test_the_last_of_each_week_and_month_is_kept():
    weeks = kept(Retention(weekly=3))
    # 2026-11-29 is a Sunday, which ends a week of ISO 8601.
    assert [time.date().isoformat() for time in weeks] == ["2026-11-15", "2026-11-22", "2026-11-29"]
    months = kept(Retention(monthly=3))
    assert [t.date().isoformat() for t in months] == ["2026-09-30", "2026-10-31", "2026-11-29"]
    assert [time.year for time in kept(Retention(yearly=9))] == [2025, 2026]


def test_of_a_day_with_many_the_last_is_kept():
    hours = [snapshot(NOW - timedelta(hours=hours)) for hours in range(30, -1, -1)]
    days = [time.isoformat()[:13] for time in kept(Retention(daily=2), hours)]
    assert days == ["2026-11-28T23", "2026-11-29T12"]
    assert len(kept(Retention(hourly=5), hours)) == 5


def test_rules_add_up_and_each_registry_counts_by_itself():
    other = [snapshot(NOW - timedelta(days=900), "1" * 64, ("release",))]
    assert len(kept(Retention(last=2, within=timedelta(days=4)), NIGHTLY + other)) == 5 + 1
    assert kept(Retention(tags=frozenset({"release"})), NIGHTLY + other) == [other[0].time]


def test_pruning_frees_what_only_the_forgotten_needed(repository, two_snapshots, tmp_path):
    registry, _ = two_snapshots
    before = sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
    dry = mlporter.forget(repository, "first", prune_unused=True, grace=0.001, dry_run=True)
    assert len(mlporter.snapshots(repository).snapshots) == 2
    gone = mlporter.forget(repository, "first", prune_unused=True, grace=0.001)
    assert gone.forgotten == dry.forgotten
    assert gone.pruned.bytes >= 300_000
    after = sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
    assert before - after >= 300_000
    assert mlporter.verify(repository).check.problems == []
    assert mlporter.verify(repository).check.unreferenced == 0
    restored = sqlite_url(tmp_path / "restored.db")
    mlporter.copy(f"{repository}/@latest", restored, artifacts="reference")
    assert dump(restored) == dump(registry.url)


def test_an_empty_file_stays_though_nothing_else_in_its_pack_is_needed(registry, tmp_path):
    repository = tmp_path / "r"
    registry.add_run("e" * 32, 1, {"empty": b""})
    mlporter.backup(registry.url, repository)
    for number in range(3):
        registry.purge(f"{number:032x}")
    mlporter.backup(registry.url, repository)
    mlporter.forget(repository, keep_last=1, prune_unused=True, grace=0.001)
    assert mlporter.verify(repository).check.problems == []
    mlporter.unpack(f"{repository}/@latest", tmp_path / "files")
    assert [path.stat().st_size for path in (tmp_path / "files").rglob("empty")] == [0]


def test_what_was_just_written_is_left_alone(repository):
    gone = mlporter.forget(repository, "first", prune_unused=True)
    assert gone.pruned.objects == 0
    assert mlporter.verify(repository).check.unreferenced > 0


def test_pruning_does_not_go_beside_a_backup_nor_a_backup_beside_pruning(repository, two_snapshots):
    registry, _ = two_snapshots
    with locked(LocalStorage(repository), "backup"), pytest.raises(RepositoryInUseError):
        mlporter.forget(repository, keep_last=1)
    with locked(LocalStorage(repository), "prune"), pytest.raises(RepositoryInUseError):
        mlporter.backup(registry.url, repository)
    with locked(LocalStorage(repository), "backup"):
        mlporter.backup(registry.url, repository)
    assert list(repository.glob("locks/*")) == []


def test_a_lock_of_a_dead_machine_expires_and_that_of_a_dead_process_is_none(repository):
    locks = repository / "locks"
    locks.mkdir(exist_ok=True)
    lock = locks / "backup-1.json"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "since": "yesterday"}))
    with pytest.raises(RepositoryInUseError, match="elsewhere"):
        mlporter.forget(repository, keep_last=1)
    long_ago = time.time() - EXPIRES - 60
    os.utime(lock, (long_ago, long_ago))
    assert mlporter.forget(repository, keep_last=1).forgotten
    locks.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"host": socket.gethostname(), "pid": 2**22 + 1}))
    mlporter.forget(repository, keep_last=1)
    assert not lock.exists()


def test_a_backup_whose_lock_was_taken_away_leaves_no_snapshot(
    repository, two_snapshots, monkeypatch
):
    registry, _ = two_snapshots
    put = LocalStorage.put

    def put_and_take_the_lock(storage, path, data):
        put(storage, path, data)
        if path.endswith("manifest.yaml"):
            for lock in (repository / "locks").iterdir():
                lock.unlink()

    monkeypatch.setattr(LocalStorage, "put", put_and_take_the_lock)
    with pytest.raises(RepositoryInUseError, match="expired"):
        mlporter.backup(registry.url, repository)
    monkeypatch.undo()
    assert len(mlporter.snapshots(repository).snapshots) == 2


def test_nothing_is_removed_from_an_append_only_repository(two_snapshots, tmp_path):
    registry, _ = two_snapshots
    place = tmp_path / "kept"
    mlporter.backup(registry.url, place, append_only=True)
    mlporter.backup(registry.url, place)
    with pytest.raises(RefusedError, match="append-only"):
        mlporter.forget(place, keep_last=1)
    assert not (place / "locks").exists()
    assert len(mlporter.snapshots(place).snapshots) == 2


def test_no_rule_at_all_forgets_nothing(repository):
    with pytest.raises(UsageError):
        mlporter.forget(repository)
    with pytest.raises(UsageError):
        mlporter.forget(repository, "first", keep_last=1)


def test_a_damaged_snapshot_is_forgotten_by_its_name(repository, cli):
    first, last = (one.name for one in mlporter.snapshots(repository).snapshots)
    document = repository / "snapshots" / first / "snapshot.yaml"
    document.write_bytes(document.read_bytes()[:-20])
    with pytest.raises(BundleDamagedError) as caught:
        mlporter.forget(repository, keep_last=1, prune_unused=True)
    assert f"mlporter forget {repository} {first}" in str(caught.value.hint)
    with pytest.raises(BundleDamagedError):  # what it needs is not known: nothing goes
        mlporter.forget(repository, last, prune_unused=True)
    assert document.exists()

    planned = mlporter.forget(repository, first, dry_run=True)
    assert planned.forgotten == planned.damaged == (first,)
    done = cli("forget", repository, first, "--prune", "--grace", "1s")
    assert done.code == 0
    assert [line.split()[1:] for line in done.out.splitlines() if first in line] == [
        ["damaged", "forgotten"]
    ]
    assert [one.name for one in mlporter.snapshots(repository).snapshots] == [last]
    check = mlporter.verify(repository).check
    assert check.problems == []
