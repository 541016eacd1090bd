"""A repository in a real S3 server: the same verbs, the same snapshots."""

from __future__ import annotations

import mlporter
from mlporter.errors import ExitCode
from tests.repository.registry import SmallRegistry
from tests.support.databases import dump
from tests.support.mlflow_session import sqlite_url


def test_a_repository_in_a_bucket_holds_and_restores(mlflow_sqlite_template, tmp_path, s3):
    registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for number in range(5):
        registry.add_run(f"{number:032x}", 4, {"a.txt": b"a%d" % number, "big": b"b" * 300_000})
    repository = f"{s3.new_bucket()}/team/backups"
    first = mlporter.backup(registry.url, repository, tags=["nightly"])
    assert first.exit_code == ExitCode.OK
    was, files = dump(registry.url), registry.files()
    registry.add_run("f" * 32, 2, {"new.txt": b"new"})
    registry.write(f"{1:032x}", "a.txt", b"changed")
    second = mlporter.backup(registry.url, repository)
    assert second.snapshot.added.contents == 2
    assert mlporter.verify(repository).check.problems == []

    restored = SmallRegistry(tmp_path / "restored.db", tmp_path / "root" / "1")
    mlporter.copy(f"{repository}@nightly", restored.url, artifact_root=str(tmp_path / "root"))
    assert restored.files() == files
    as_it_was = sqlite_url(tmp_path / "rows.db")
    mlporter.copy(f"{repository}@nightly", as_it_was, artifacts="reference")
    assert dump(as_it_was) == was

    gone = mlporter.forget(repository, keep_last=1, prune_unused=True, grace=0.001)
    assert gone.forgotten == (first.snapshot.name,)
    assert mlporter.verify(repository).check.problems == []
    now = sqlite_url(tmp_path / "now.db")
    mlporter.copy(f"{repository}@latest", now, artifacts="reference")
    assert dump(now) == dump(registry.url)


SMALL = 1_500


def test_small_files_take_hardly_any_requests(mlflow_sqlite_template, tmp_path, s3, caplog):
    def requests(work):
        caplog.clear()
        with caplog.at_level("INFO", logger="werkzeug"):  # the server is in this process
            work()
        return sum(record.name == "werkzeug" for record in caplog.records)

    def of_files(count):
        registry = SmallRegistry.make(mlflow_sqlite_template, tmp_path / str(count))
        registry.add_run("a" * 32, 1, {f"{number:04}": b"%d" % number for number in range(count)})
        repository, root = f"{s3.new_bucket()}/backups", tmp_path / f"root{count}"
        new = sqlite_url(tmp_path / f"{count}.db")
        found = (
            requests(lambda: mlporter.backup(registry.url, repository)),
            requests(lambda: mlporter.backup(registry.url, repository)),
            requests(lambda: mlporter.copy(f"{repository}@latest", new, artifact_root=root)),
        )
        assert len([path for path in root.rglob("*") if path.is_file()]) == count
        return found

    few, many = of_files(1), of_files(SMALL)
    assert min(few) > 0
    # What there is to be asked of any repository, and one pack.
    assert all(m <= f + SMALL / 1_000 for f, m in zip(few, many, strict=True)), (few, many)
    assert max(few) <= 60
    assert few[1] <= 34  # the repository is opened once, and each of its documents read once
