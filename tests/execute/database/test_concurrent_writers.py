"""An export while others write: one state of the registry, and nobody is disturbed.

Issue of mlflow-export-import (PEERS.md): half-transferred run (#205).
"""

from __future__ import annotations

import os
from collections import Counter

import pyarrow.parquet as pq
import pytest

import mlporter
from mlporter.artifacts.disk.copying import StableFile
from tests.support.databases import sha256
from tests.support.forks import start
from tests.support.mlflow_session import QUIET_ENVIRONMENT

#: Logs run after run until its input ends, as MLflow's own client does it; says each run's number,
#: and "now" to every line.
WRITER = """
import sys, threading
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

url, root = sys.argv[1:]
client = MlflowClient(url, url)
experiment = client.create_experiment("busy", artifact_location=root)
ended = threading.Event()
def listen():
    for _ in sys.stdin:
        print("now", flush=True)
    ended.set()
threading.Thread(target=listen, daemon=True).start()
number = 0
while not ended.is_set():
    run = client.create_run(experiment, tags={"created": "yes"}).info.run_id
    client.log_batch(run, [], [Param(f"p{i}", "x") for i in range(10)], [RunTag("batch", "yes")])
    for step in range(3):
        client.log_batch(run, [Metric(f"m{i}", step, 1, step) for i in range(10)])
    client.log_text(run, f"file {number}", "file.txt")
    client.set_terminated(run)
    client.set_tag(run, "complete", "yes")
    number += 1
    print(number, flush=True)
"""


class Writer:
    """A training job in another process."""

    def __init__(self, url, root):
        environment = {**os.environ, **QUIET_ENVIRONMENT}
        # In tests MLflow checks more, and in another way, than in a training job.
        environment.pop("PYTEST_CURRENT_TEST", None)
        self._process = start(["-W", "ignore", "-c", WRITER, url, root], environment=environment)

    def wait_for(self, more):
        """Until it has logged so many more runs from now on; it goes on all the while."""
        self._process.stdin.write("when?\n")
        self._process.stdin.flush()
        while self._line() != "now":
            pass
        for _ in range(more):
            self._line()

    def _line(self):
        line = self._process.stdout.readline().strip()
        assert line, self._process.communicate()[1]
        return line

    def end(self):
        """How many runs there are in the end; it never failed."""
        said, errors = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, errors
        assert "locked" not in errors
        return int(said.split()[-1])

    def kill(self):
        """If it is still there."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def writer(target_url, tmp_path):
    job = Writer(target_url, tmp_path / "artifacts")
    job.wait_for(3)
    yield job
    job.kill()


every_engine = pytest.mark.parametrize(
    "target_url", ["sqlite", "postgresql", "mysql"], indirect=True
)


@every_engine
def test_nobody_who_writes_waits_and_nothing_is_ever_half(target_url, writer, tmp_path):
    """However long an export takes: here, for as long as others need to log more."""
    seen = []
    for number, part in enumerate((None, mlporter.Selection(experiments=("busy",)))):
        bundle, paused = tmp_path / f"bundle {number}", set()

        def wait(step, done, total, unit="rows", paused=paused):
            for where in ("reading runs", "copying artifacts"):
                if step == where and where not in paused:
                    paused.add(where)
                    writer.wait_for(2)

        result = mlporter.export(
            target_url, str(bundle), workers=1, selection=part, on_progress=wait
        )
        assert result.exit_code in {0, 3}
        assert paused == {"reading runs", "copying artifacts"}
        seen.append(check(bundle))
    there = f"sqlite:///{tmp_path}/there.db"
    mlporter.import_(str(bundle), there, artifact_root=str(tmp_path / "root"))
    assert mlporter.diff(str(bundle), there).identical
    copied = f"sqlite:///{tmp_path}/copied.db"
    mlporter.copy(target_url, copied, artifact_root=str(tmp_path / "copied"))
    writer.wait_for(2)
    mlporter.export(copied, str(tmp_path / "bundle of the copy"))
    seen.append(check(tmp_path / "bundle of the copy"))
    # It went on all the while.
    assert 3 <= seen[0] < seen[1] < seen[2] < writer.end()


def check(bundle):
    """What is in a bundle is one state of the registry; returns how many runs it has."""
    assert mlporter.verify(str(bundle)).exit_code == 0

    def read(table):
        return pq.read_table(bundle / "tables" / table).to_pylist()

    runs = {row["run_uuid"]: row for row in read("runs")}
    tags = {(row["run_uuid"], row["key"]) for row in read("tags")}
    params = Counter(row["run_uuid"] for row in read("params"))
    batches = Counter((row["run_uuid"], row["step"]) for row in read("metrics"))
    assert {run for run, _ in tags} | set(params) | {run for run, _ in batches} <= set(runs)
    # What was logged in one transaction is all there, or not at all. (`log_batch` is three: first
    # parameters, then metrics, then tags; see SqlAlchemyStore.log_batch of MLflow.)
    assert set(params.values()) | set(batches.values()) == {10}
    for run, row in runs.items():
        assert (run, "created") in tags
        assert run in params or (run, "batch") not in tags
        steps = [step for step in range(3) if (run, step) in batches]
        # Nor does anything later come without what was before it.
        assert steps == list(range(len(steps)))
        assert (run, "batch") in tags or not steps
        if (run, "complete") in tags:
            assert (steps, row["status"]) == ([0, 1, 2], "FINISHED")
    unfinished = [run for run in runs if (run, "complete") not in tags]
    assert len(unfinished) <= 1
    with_file = {row["owner_id"] for row in read("artifacts")}
    assert set(runs) - set(unfinished) <= with_file
    return len(runs)


# --- Files ----------------------------------------------------------------------------------------


@pytest.fixture
def changing(plain_sqlite, monkeypatch):
    """A large artifact that is written to while it is read: as often as asked for.

    A process of its own would have to be lucky; here every reading but the last is disturbed.
    """
    folder = plain_sqlite.database_path.parent
    (artifacts,) = [p for p in folder.rglob("artifacts") if plain_sqlite.run_ids[0] in str(p)]
    path = artifacts / "weights.bin"
    path.write_bytes(b"old" * 1_000_000)
    times = [0]
    really = StableFile.readinto

    def readinto(self, buffer):
        size = really(self, buffer)
        if times[0] and size and os.fstat(self.fileno()).st_ino == path.stat().st_ino:
            times[0] -= 1
            before = path.stat().st_mtime_ns
            with path.open("r+b") as file:
                file.write(b"new" * 1_000_000)
            # Of a file system's clock, which may be a coarse one.
            os.utime(path, ns=(before + 10**9, before + 10**9))
        return size

    monkeypatch.setattr(StableFile, "readinto", readinto)
    return plain_sqlite, path, times


def test_a_file_that_changes_while_it_is_read_is_read_again(changing, tmp_path):
    registry, path, times = changing
    times[0] = 1
    assert mlporter.export(registry.tracking_uri, str(tmp_path / "bundle")).exit_code == 0
    assert times == [0]
    sums = {row["path"]: row["sha256"] for row in files_of(tmp_path / "bundle")}
    assert sums["weights.bin"] == sha256(path)
    assert mlporter.verify(str(tmp_path / "bundle")).exit_code == 0


def test_a_file_that_never_stops_changing_is_named_and_never_torn(changing, tmp_path):
    registry, _, times = changing
    times[0] = 1_000_000
    there = f"sqlite:///{tmp_path}/there.db"
    for result in (
        mlporter.export(registry.tracking_uri, str(tmp_path / "bundle")),
        mlporter.copy(registry.tracking_uri, there, artifact_root=str(tmp_path / "root")),
    ):
        assert result.exit_code == 3
        lost = [item for item in result.left_out.first if not item.expected]
        assert [(item.path, item.reason, item.detail) for item in lost] == [
            ("weights.bin", "unreadable", "it was written to while it was being read")
        ]
    assert "weights.bin" not in {row["path"] for row in files_of(tmp_path / "bundle")}
    assert not list((tmp_path / "root").rglob("weights.bin"))


def files_of(bundle):
    return pq.read_table(bundle / "tables" / "artifacts").to_pylist()
