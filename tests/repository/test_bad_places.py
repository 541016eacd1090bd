"""Places that are full, or that may not be written to or read: said, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from itertools import count

import pytest

import mlporter
from mlporter.errors import (
    AccessDeniedError,
    BundleDamagedError,
    ExitCode,
    UnreachableError,
    UnsupportedError,
)
from tests.support.denied import denied, permissions_bind
from tests.support.guarded_s3 import guarded_s3
from tests.support.mlflow_session import sqlite_url

_NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path):
    """A disk of four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_fills_up_at_any_step_leaves_the_snapshots_that_were(registry, small_disk):
    repository, ballast = small_disk / "r", small_disk / "ballast"
    mlporter.backup(registry.url, repository)
    registry.add_run("f" * 32, 3, {"new": b"n" * 300_000, "small": b"s" * 5_000})
    for free in (0, 4_096, 20_000, 120_000, 330_000, 350_000):
        left = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"x" * (left - free // 4096 * 4096))
        with pytest.raises(UnreachableError, match="No space left on device") as caught:
            mlporter.backup(registry.url, repository)
        assert caught.value.exit_code == ExitCode.UNREACHABLE
        assert len(mlporter.snapshots(repository).snapshots) == 1
        ballast.unlink()
        assert mlporter.verify(repository).check.problems == []
        assert list(repository.glob("locks/*")) == []
    assert mlporter.backup(registry.url, repository).exit_code == ExitCode.OK
    assert mlporter.verify(f"{repository}/@latest", against=registry.url).exit_code == ExitCode.OK


def test_a_bucket_that_fills_up_leaves_the_snapshots_that_were(registry, s3, monkeypatch):
    import s3fs  # noqa: PLC0415 -- for S3 only

    repository = f"{s3.new_bucket()}/backups"
    mlporter.backup(registry.url, repository)
    registry.add_run("f" * 32, 3, {"new": b"n" * 300_000})
    # What one leaves, the next one finds: so the last one fails with the very last object.
    for method, after in (("_put_file", 0), ("_put_file", 4), ("_pipe_file", 0), ("_pipe_file", 2)):
        write, left = getattr(s3fs.S3FileSystem, method), count(after, -1)

        async def full(*args, _write=write, _left=left, **named):
            if next(_left) <= 0:
                raise OSError(errno.EIO, "An error occurred (QuotaExceeded): the bucket is full")
            return await _write(*args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(s3fs.S3FileSystem, method, full)
            s3fs.S3FileSystem.clear_instance_cache()
            with pytest.raises(UnreachableError, match="QuotaExceeded") as caught:
                mlporter.backup(registry.url, repository)
        s3fs.S3FileSystem.clear_instance_cache()
        assert repository in str(caught.value.subject)
        assert len(mlporter.snapshots(repository).snapshots) == 1
    assert mlporter.verify(repository).check.problems == []
    assert mlporter.backup(registry.url, repository).exit_code == ExitCode.OK
    assert mlporter.verify(repository).check.problems == []


@contextmanager
def somebody_elses(folder):
    """Within, it can be read, and not written to."""
    found = [folder, *folder.rglob("*")]
    for path in found:
        if not os.geteuid():
            os.chown(path, _NOBODY, _NOBODY)
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with permissions_bind():
            yield
    finally:
        for path in found:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_folder_that_may_only_be_read_restores_and_takes_nothing(
    repository, two_snapshots, tmp_path
):
    registry, _ = two_snapshots
    restored = sqlite_url(tmp_path / "restored.db")
    before = sorted(repository.rglob("*"))
    with somebody_elses(repository):
        assert len(mlporter.snapshots(repository).snapshots) == 2
        assert mlporter.verify(repository).check.problems == []
        mlporter.copy(f"{repository}/@latest", restored, artifact_root=str(tmp_path / "root"))
        for writing in (
            lambda: mlporter.backup(registry.url, repository),
            lambda: mlporter.forget(repository, keep_last=1, prune_unused=True),
        ):
            with pytest.raises(AccessDeniedError) as caught:
                writing()
            assert caught.value.exit_code == ExitCode.UNREACHABLE
            assert str(repository) in str(caught.value)
    assert sorted(repository.rglob("*")) == before


def test_a_folder_that_may_not_be_entered_is_said_to_be_denied(repository, two_snapshots):
    registry, _ = two_snapshots
    with denied(repository):
        for verb in (
            lambda: mlporter.snapshots(repository),
            lambda: mlporter.backup(registry.url, repository),
            lambda: mlporter.show(f"{repository}/@latest", "runs"),
        ):
            with pytest.raises(AccessDeniedError) as caught:
                verb()
            assert str(repository) in str(caught.value)


def test_a_bucket_that_refuses_the_keys(registry, tmp_path, monkeypatch):
    with guarded_s3("backups", tmp_path / "s3.log") as place:
        for name, value in place.variables("").items():
            monkeypatch.setenv(name, value)
        repository = "s3://backups/r"
        mlporter.backup(registry.url, repository)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong" * 8)
        for verb in (
            lambda: mlporter.backup(registry.url, repository),
            lambda: mlporter.snapshots(repository),
            lambda: mlporter.show(f"{repository}@latest", "runs"),
            lambda: mlporter.backup(registry.url, "s3://backups/another"),
        ):
            with pytest.raises(AccessDeniedError) as caught:
                verb()
            assert caught.value.exit_code == ExitCode.UNREACHABLE
            assert "s3://backups/" in str(caught.value)
            assert "wrongwrong" not in str(caught.value)


@pytest.mark.parametrize("damage", ["format_version: 2", "format_version: x"])
def test_a_snapshot_that_cannot_be_read_is_in_the_way_of_no_other(repository, damage):
    first, last = (one.name for one in mlporter.snapshots(repository).snapshots)
    document = repository / "snapshots" / first / "snapshot.yaml"
    document.write_text(document.read_text().replace("format_version: 1", damage))
    for name in (first, "2026"):
        with pytest.raises((UnsupportedError, BundleDamagedError)) as caught:
            mlporter.show(f"{repository}/@{name}", "runs")
        assert first in str(caught.value)
    for name in (last, "latest"):
        with mlporter.open(f"{repository}/@{name}") as source:
            assert source.count("runs") == 3
    assert mlporter.verify(f"{repository}/@{last}").check.problems == []
    assert mlporter.verify(repository).exit_code == ExitCode.BUNDLE


def test_backups_go_on_beside_snapshots_that_are_damaged(two_snapshots, repository, cli):
    registry, _ = two_snapshots
    first, last = (one.name for one in mlporter.snapshots(repository).snapshots)
    document = repository / "snapshots" / last / "snapshot.yaml"
    document.write_bytes(document.read_bytes()[:-20])
    listed = mlporter.snapshots(repository)
    assert [one.name for one in listed.snapshots] == [first]
    assert [one.name for one in listed.damaged] == [last]
    assert f"mlporter forget {repository} {last}" in listed.damaged[0].hint
    assert listed.exit_code == ExitCode.BUNDLE

    done = cli("backup", registry.url, repository, "--quiet")
    assert done.code == ExitCode.BUNDLE
    assert f"Snapshot {last} is damaged" in done.err
    [_, made] = mlporter.snapshots(repository).snapshots
    assert made.upon == first
    assert mlporter.diff(registry.url, f"{repository}/@latest").exit_code == ExitCode.OK

    found = cli("find", repository, "churn", "--json")
    assert found.code == ExitCode.BUNDLE
    told = json.loads(found.out)
    assert [one["snapshot"] for one in told["found"]] == [first, made.name]
    assert [one["name"] for one in told["damaged"]] == [last]

    # Of those before the one that it builds upon, a backup need not know.
    assert mlporter.backup(registry.url, repository).exit_code == ExitCode.OK


def test_a_backup_builds_upon_no_manifest_that_is_damaged(two_snapshots, repository):
    registry, _ = two_snapshots
    first, last = (one.name for one in mlporter.snapshots(repository).snapshots)
    manifest = repository / "snapshots" / last / "manifest.yaml"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    made = mlporter.backup(registry.url, repository)
    assert made.exit_code == ExitCode.BUNDLE
    assert [one.name for one in made.damaged] == [last]
    assert made.snapshot.upon == first
