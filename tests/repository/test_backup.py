"""`backup`, `snapshots`, `find`: what is written, what is not read again, what is refused."""

from __future__ import annotations

import http.server
import os
import threading
from contextlib import closing

import pytest

import mlporter
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import (
    ExitCode,
    RefusedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from mlporter.stores.opening import open_source
from tests.support.databases import sha256


def test_a_second_backup_of_the_same_stores_nothing(registry, tmp_path):
    before = sha256(registry.database)
    first = mlporter.backup(registry.url, tmp_path / "r")
    second = mlporter.backup(registry.url, tmp_path / "r")
    assert first.snapshot.added.contents == 6
    assert second.snapshot.added.bytes == 0
    assert second.snapshot.rows == first.snapshot.rows
    assert sha256(registry.database) == before


def test_files_that_look_the_same_are_not_read_again_unless_asked(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "r")
    file = registry.folder / f"{0:032x}" / "artifacts" / "small.txt"
    stamp = file.stat()
    file.write_bytes(b"SMALL 0")  # as long as before
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert mlporter.backup(registry.url, tmp_path / "r").snapshot.added.contents == 0
    assert mlporter.backup(registry.url, tmp_path / "r", reread=True).snapshot.added.contents == 1


def test_points_changed_by_hand_are_found_if_all_are_read(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "r")
    registry.sql("UPDATE metrics SET value = 7 WHERE step = 1")
    looked = mlporter.backup(registry.url, tmp_path / "r")
    assert looked.snapshot.added.part_bytes == 0
    assert mlporter.backup(registry.url, tmp_path / "r", full=True).snapshot.added.part_bytes > 0


def test_snapshots_are_chosen_by_time_id_and_tag(two_snapshots):
    _, repository = two_snapshots
    first, last = (one.name for one in mlporter.snapshots(repository).snapshots)
    for wanted, name in (
        ("latest", last),
        ("first", first),
        (first, first),
        (first[:10], last),
        (first.rpartition("-")[2], first),
        (last.rpartition("-")[2][:6], last),
    ):
        with mlporter.open(f"{repository}/@{wanted}") as source:
            assert source.description.address.endswith(f"@{name}")


def test_no_such_snapshot_names_the_nearest(two_snapshots):
    _, repository = two_snapshots
    first = mlporter.snapshots(repository).snapshots[0].name
    with pytest.raises(UsageError) as caught:
        mlporter.show(f"{repository}/@2001-01-01", "runs")
    assert f"@{first}" in caught.value.hint


def test_what_is_no_repository_is_refused_and_left_alone(registry, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(RefusedError):
        mlporter.backup(registry.url, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]
    for verb in (mlporter.snapshots, lambda place: mlporter.forget(place, keep_last=1)):
        with pytest.raises(UsageError):
            verb(other)
    with pytest.raises(UsageError):
        mlporter.show(f"{other}/@latest", "runs")


def test_a_repository_is_no_registry(two_snapshots, tmp_path):
    _, repository = two_snapshots
    with pytest.raises(UsageError) as caught:
        mlporter.copy(repository, f"sqlite:///{tmp_path}/new.db")
    assert "@latest" in caught.value.hint


def test_a_later_format_is_refused(repository):
    document = repository / "repository.yaml"
    document.write_text(document.read_text().replace("format_version: 1", "format_version: 2"))
    with pytest.raises(UnsupportedError):
        mlporter.snapshots(repository)


def test_a_snapshot_forgotten_while_it_is_read_is_missed_by_name(repository):
    first = f"{repository}/@first"
    with closing(open_source(first)) as source, closing(open_source(first)) as another:
        files = list(source.files(lambda _: None))
        mlporter.forget(repository, keep_last=1, prune_unused=True, grace=0.001)
        gone = next(file for file in files if file.path == "big.bin")
        with pytest.raises(UnreachableError, match="was forgotten"):
            source.open_file(gone)
        with pytest.raises(UnreachableError, match="was forgotten"):
            list(another.files(lambda _: None))


def test_a_full_disk_leaves_no_snapshot(registry, tmp_path, monkeypatch):
    mlporter.backup(registry.url, tmp_path / "r")
    registry.add_run("f" * 32, 3, {"new": b"n"})

    def full(*_):
        raise UnreachableError("cannot write: No space left on device")

    monkeypatch.setattr(LocalStorage, "put", full)
    with pytest.raises(UnreachableError):
        mlporter.backup(registry.url, tmp_path / "r")
    monkeypatch.undo()
    assert len(mlporter.snapshots(tmp_path / "r").snapshots) == 1
    assert mlporter.verify(tmp_path / "r").check.problems == []
    assert mlporter.backup(registry.url, tmp_path / "r").exit_code == ExitCode.OK


def test_find_says_in_which_state_each_snapshot_has_it(registry, tmp_path):
    mlporter.backup(registry.url, tmp_path / "r")
    registry.sql("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'churn'")
    mlporter.backup(registry.url, tmp_path / "r")
    found = mlporter.find(tmp_path / "r", "chur*").found
    assert [(one.kind, one.state) for one in found] == [
        ("experiment", "3 runs"),
        ("experiment", "3 runs, deleted"),
    ]
    assert len(mlporter.find(tmp_path / "r", f"{1:032x}").found) == 2
    assert mlporter.find(tmp_path / "r", "nothing").exit_code == ExitCode.DIFFERENT


def test_monitoring_learns_how_it_ended(registry, tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = {
        "metrics": tmp_path / "mlporter.prom",
        "notify": f"http://127.0.0.1:{server.server_port}/ping/{{exit}}",
    }
    try:
        mlporter.backup(registry.url, tmp_path / "r", **told)
        good = values(told["metrics"])
        with pytest.raises(UnreachableError):
            mlporter.backup(f"sqlite:///{tmp_path}/gone.db", tmp_path / "r", **told)
        bad = values(told["metrics"])
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/ping/0", "/ping/6"]
    assert good["last_exit_code"] == 0
    assert good["last_run_timestamp_seconds"] == good["last_success_timestamp_seconds"]
    assert bad["last_exit_code"] == 6
    assert bad["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]


def values(file):
    """What the file says, as Prometheus reads it: name, labels, value."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return {
        line.partition("{")[0].removeprefix("mlporter_backup_"): float(line.rpartition(" ")[2])
        for line in lines
    }
