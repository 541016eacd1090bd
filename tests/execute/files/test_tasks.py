"""Files handed to other processes: a task is plain data, says no secret, and does the same."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

import mlporter
from mlporter.cli.render.transfers.transfer import render_transfer
from mlporter.errors import RefusedError
from tests.repository.registry import SmallRegistry
from tests.support.copying_s3 import watched_copies
from tests.support.databases import tree
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.pickling_pool import PicklingPool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engines import S3

_SECRET = "testing"
"""The key of the S3 of tests."""


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> PicklingPool:
    """What all verbs hand files to."""
    made = PicklingPool()

    @contextmanager
    def task_pool(*_: Any, **__: Any) -> Any:
        yield made

    for module in (
        "verbs.moving.export",
        "verbs.moving.transfer",
        "verbs.reading.diff",
        "verbs.reading.verify",
    ):
        monkeypatch.setattr(f"mlporter.{module}.task_pool", task_pool)
    return made


@pytest.fixture
def registry(mlflow_sqlite_template: Path, tmp_path: Path) -> SmallRegistry:
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    made.add_run(f"{1:032x}", 1, {"a/small.txt": b"small", "a/large.bin": b"l" * 300_000})
    return made


def fresh(template: Path, place: Path) -> str:
    copy_sqlite(template, place)
    return sqlite_url(place)


def test_through_buckets_and_bundles_in_them(  # noqa: PLR0917 -- fixtures
    registry, pool, s3, mlflow_sqlite_template, tmp_path, caplog
):
    stored = fresh(mlflow_sqlite_template, tmp_path / "stored.db")
    again = fresh(mlflow_sqlite_template, tmp_path / "again.db")
    bundle = f"{s3.new_bucket()}/bundle"
    root = s3.new_bucket()
    copied = mlporter.copy(registry.url, stored, artifact_root=root)
    assert (copied.exit_code, copied.files.stored_files) == (0, 2)
    by_storage = fresh(mlflow_sqlite_template, tmp_path / "by_storage.db")
    assert mlporter.copy(stored, by_storage, artifact_root=s3.new_bucket()).files.by_storage == 2
    assert mlporter.export(by_storage, bundle).exit_code == 0
    assert mlporter.verify(bundle).exit_code == 0
    assert mlporter.import_(bundle, again, artifact_root=str(tmp_path / "root")).exit_code == 0
    assert mlporter.diff(registry.url, again).identical
    assert "copied here" not in caplog.text
    assert len(pool.sent) >= 4
    assert [data for data in pool.sent if _SECRET.encode() in data] == []


def test_what_a_bucket_holds_already_is_copied_by_s3_without_being_read(
    registry, s3, mlflow_sqlite_template, tmp_path
):
    stored, bundle = fresh(mlflow_sqlite_template, tmp_path / "stored.db"), s3.new_bucket()
    mlporter.copy(registry.url, stored, artifact_root=s3.new_bucket())
    mlporter.export(stored, bundle)
    roots = {"copied": f"{s3.new_bucket()}/root", "imported": s3.new_bucket()}
    with watched_copies() as copies:
        target = fresh(mlflow_sqlite_template, tmp_path / "copied.db")
        copied = mlporter.copy(stored, target, artifact_root=roots["copied"])
        imported = mlporter.import_(
            bundle,
            fresh(mlflow_sqlite_template, tmp_path / "imported.db"),
            artifact_root=roots["imported"],
        )
    assert not [key for key in copies.read if "/artifacts/a/" in key or key.startswith("blobs/")]
    assert copied.as_dict()["files"] == {
        "mode": "copy",
        "files": 2,
        "bytes": 300_005,
        "already_there": 0,
        "stored_files": 2,
        "stored_bytes": 300_005,
        "by_storage": 2,
        "bytes_by_storage": 300_005,
    }
    console = Console(file=io.StringIO(), width=100)
    console.print(*render_transfer(copied))
    assert "2 files, 300.0 kB, all copied by the storage itself" in console.file.getvalue()
    # The small one lies in a pack.
    assert (imported.files.by_storage, imported.files.bytes_by_storage) == (1, 300_000)
    assert mlporter.diff(registry.url, target).identical
    expected = {"a/small.txt": b"small", "a/large.bin": b"l" * 300_000}
    for root in roots.values():
        assert stored_below(s3, root) == expected


def test_a_version_is_promoted_from_bucket_to_bucket_by_the_sums_of_s3(
    plain_sqlite, s3, mlflow_sqlite_template, tmp_path
):
    stored = fresh(mlflow_sqlite_template, tmp_path / "stored.db")
    mlporter.copy(plain_sqlite.tracking_uri, stored, artifact_root=f"{s3.new_bucket()}/from")
    with watched_copies() as copies:
        result = mlporter.promote(
            "models:/plain-model/1",
            stored,
            fresh(mlflow_sqlite_template, tmp_path / "target.db"),
            artifact_root=f"{s3.new_bucket()}/to",
        )
    (version,) = result.versions
    assert (result.exit_code, version.status) == (0, "promoted")
    files = result.transfers[0].files
    assert files.by_storage == files.files > 0
    # Whether they can be read is looked at first of all: once, and nothing is read to be hashed.
    read = Counter(key for key in copies.read if key.startswith("from/"))
    assert {n for key, n in read.items() if not key.endswith("/MLmodel")} == {1}


def stored_below(s3: S3, root: str) -> dict[str, bytes]:
    """The files of the only run, read by boto3 itself."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    with closing(s3.client()) as client:
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
        assert all(key.startswith(prefix) for key in keys)
        bodies = [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    return {key.partition("/artifacts/")[2]: body for key, body in zip(keys, bodies, strict=True)}


def test_what_is_there_already_is_left_as_it_is(registry, pool, mlflow_sqlite_template, tmp_path):
    target, root = fresh(mlflow_sqlite_template, tmp_path / "target.db"), tmp_path / "root"
    mlporter.copy(registry.url, target, artifact_root=str(root))
    before = tree(root)
    target = fresh(mlflow_sqlite_template, tmp_path / "second.db")
    result = mlporter.copy(registry.url, target, artifact_root=str(root))
    assert (result.files.already_there, result.files.stored_files) == (2, 0)
    assert tree(root) == before


def test_what_is_different_there_is_refused_and_nothing_is_taken_away(
    registry, pool, mlflow_sqlite_template, tmp_path
):
    root = tmp_path / "root"
    target = fresh(mlflow_sqlite_template, tmp_path / "target.db")
    mlporter.copy(registry.url, target, artifact_root=str(root))
    (other,) = root.rglob("small.txt")
    other.write_bytes(b"other")
    before = tree(root)
    target = fresh(mlflow_sqlite_template, tmp_path / "second.db")
    with pytest.raises(mlporter.RefusedError, match="another file is already there"):
        mlporter.copy(registry.url, target, artifact_root=str(root))
    assert tree(root) == before


def test_files_of_two_places_are_compared(registry, pool, mlflow_sqlite_template, tmp_path):
    registry.write(f"{1:032x}", "a/huge.bin", b"h" * 1_100_000)
    target, root = fresh(mlflow_sqlite_template, tmp_path / "target.db"), tmp_path / "root"
    mlporter.copy(registry.url, target, artifact_root=str(root))
    before = len(pool.sent)
    assert mlporter.diff(registry.url, target).identical
    assert len(pool.sent) == before + 2
    (huge,) = root.rglob("huge.bin")
    huge.write_bytes(b"H" * 1_100_000)
    assert mlporter.diff(registry.url, target).exit_code == 1


def test_what_was_put_beside_a_file_that_ends_the_whole_is_taken_back(
    registry, pool, mlflow_sqlite_template, tmp_path
):
    registry.add_run(f"{2:032x}", 1, {f"{n:02}.txt": b"%d" % n for n in range(40)})
    root = tmp_path / "root"
    target = fresh(mlflow_sqlite_template, tmp_path / "target.db")
    mlporter.copy(registry.url, target, artifact_root=str(root))
    for file in root.rglob("*.*"):
        if file.name == "20.txt":
            file.write_bytes(b"of somebody else")
        elif file.is_file():
            file.unlink()
    before = tree(root)
    target = fresh(mlflow_sqlite_template, tmp_path / "second.db")
    with pytest.raises(RefusedError, match="another file is already there"):
        mlporter.copy(registry.url, target, artifact_root=str(root))
    assert tree(root) == before
