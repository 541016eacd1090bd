"""Workers: files to an S3 that answers after 50 ms, by 1, 2 and 4 workers of a Dask cluster.

And files from bucket to bucket of such an S3: copied by it, and streamed through this machine.

    pytest -m bench -n 0 -s tests/bench/bench_scale.py

What a machine waits for is shared by workers, whatever its processors: the files are few and the
answers late. MLPORTER_BENCH_FILES says how much of the workload (400 files of 300 kB, 200 of 1 MB)
there is.
answers late. MLPORTER_BENCH_FILES says how much of the workload (400 files of 300 kB) there is.

And a copy of many runs with many files, by four workers of which one is killed now and then:
MLPORTER_BENCH_KILLED says how many runs and files, "40000,100000" unless told.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.workload import LITTLE, experiment_of, fill, run_id, write_files
from tests.repository.registry import SmallRegistry
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import sqlite_url
from tests.support.slow_s3 import late

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import LocalCluster

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

FILES = round(400 * float(os.environ.get("MLPORTER_BENCH_FILES", "1")))
LATE = 0.05
SIZE = 300_000
MOVED = round(200 * float(os.environ.get("MLPORTER_BENCH_FILES", "1")))
MEGABYTE = 1_000_000

KILLED_RUNS, KILLED_FILES = map(
    int, os.environ.get("MLPORTER_BENCH_KILLED", "40000,100000").split(",")
)
LARGE = 50_000_000
PAUSES = (2.0, 10.0)
"""Seconds between two kills: at random in between."""


@pytest.fixture
def registry(mlflow_sqlite_template, tmp_path):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    for run in range(4):
        files = {
            f"{n}.bin": bytes([run, n % 256, n // 256]) * (SIZE // 3) for n in range(FILES // 4)
        }
        made.add_run(f"{run:032x}", 1, files)
    return made


def test_files_to_an_s3_that_answers_late(registry, s3, monkeypatch):
    from distributed import LocalCluster  # noqa: PLC0415 -- as long as all of mlporter

    took = {}
    with late(s3.endpoint, LATE) as slow:
        for name in ("AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"):
            monkeypatch.setenv(name, slow)
        for workers in (1, 2, 4):
            with LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            ) as cluster:

                def export(address=cluster.scheduler_address):
                    place = f"{s3.new_bucket()}/bundle"
                    mlporter.export(registry.url, place, dask=address)

                export()  # workers import what they need
                (took[workers],) = ratios.side_by_side(export, times=2)
    for workers in (2, 4):
        ratios.add(
            f"{FILES} files to an S3 of {LATE * 1000:.0f} ms: {workers} workers / 1, each",
            took[workers] * workers,
            took[1],
            1 / 0.9,
        )


def test_from_bucket_to_bucket(mlflow_sqlite_template, tmp_path, s3, monkeypatch):
    stored, source = tmp_path / "stored.db", s3.new_bucket()
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    made.add_run(f"{1:032x}", 1, {f"{n}.bin": bytes([n % 256]) * MEGABYTE for n in range(MOVED)})
    copy_sqlite(mlflow_sqlite_template, stored)
    mlporter.copy(made.url, sqlite_url(stored), artifact_root=source)

    def copied() -> int:
        target = tmp_path / f"{uuid4().hex}.db"
        copy_sqlite(mlflow_sqlite_template, target)
        result = mlporter.copy(
            sqlite_url(stored), sqlite_url(target), artifact_root=s3.new_bucket()
        )
        return result.files.by_storage

    def by_storage() -> None:
        assert copied() == MOVED

    def streamed() -> None:
        with monkeypatch.context() as without:
            name = "mlporter.stores.artifact_places.mlflow_place.copy_by_store"
            without.setattr(name, lambda *_: None)
            assert copied() == 0

    with late(s3.endpoint, LATE) as slow:
        for name in ("AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"):
            monkeypatch.setenv(name, slow)
        mine, theirs = ratios.side_by_side(by_storage, streamed, times=2)
    ratios.add(
        f"{MOVED} files of 1 MB from bucket to bucket, {LATE * 1000:.0f} ms: by S3 / streamed",
        mine,
        theirs,
        0.8,
    )


def test_a_copy_is_whole_though_workers_are_killed(mlflow_sqlite_template, tmp_path, monkeypatch):
    from distributed import LocalCluster  # noqa: PLC0415 -- as above

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    files = tmp_path / "files"
    source, target, other = (tmp_path / f"{name}.db" for name in ("source", "target", "other"))
    for path in (source, target, other):
        copy_sqlite(mlflow_sqlite_template, path)
    fill(sqlite_url(source), KILLED_RUNS, LITTLE, files)
    write_files(files, KILLED_RUNS, KILLED_FILES)
    for run in range(4):
        large = files / experiment_of(run) / run_id(run) / "artifacts" / "large.bin"
        large.write_bytes(random.Random(run).randbytes(LARGE))

    copied, copied_here = tmp_path / "copied", tmp_path / "copied here"
    with (
        LocalCluster(
            n_workers=4,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        kills(cluster, copied) as killed,
    ):
        start = time.perf_counter()
        most = peak_memory(
            "copy",
            sqlite_url(source),
            sqlite_url(target),
            **{"artifact-root": copied, "dask": cluster.scheduler_address},
        )
        took = time.perf_counter() - start
    assert killed
    print(f"{took:.0f} s, {most:.0f} MB, {len(killed)} workers killed")
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "mlporter",
            "diff",
            "--json",
            sqlite_url(source),
            sqlite_url(target),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["identical"]
    assert sums(copied) == sums(files)
    counted_by_mlflow(sqlite_url(target))

    start = time.perf_counter()
    usual = peak_memory(
        "copy", sqlite_url(source), sqlite_url(other), **{"artifact-root": copied_here}
    )
    line = f"copy of {KILLED_RUNS:,} runs and {KILLED_FILES:,} files, {len(killed)} workers killed"
    ratios.add(f"{line} / in threads", took, time.perf_counter() - start, 2)
    ratios.add(f"memory: {line} / in threads", most, usual, 1.2, "MB")


@contextmanager
def kills(cluster: LocalCluster, files: Path) -> Iterator[list[int]]:
    """Kill a worker's process now and then, once there are files; which were killed."""
    killed: list[int] = []
    over = threading.Event()
    rng = random.Random(0)

    def kill() -> None:
        while not over.wait(rng.uniform(*PAUSES) if killed else 0.2):
            # One that is killed before it runs is not started again.
            alive = [
                nanny.pid
                for nanny in list(cluster.workers.values())
                if nanny.process is not None and nanny.process.status.name == "running"
            ]
            if alive and files.is_dir() and any(files.iterdir()):
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    killed.append(1)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def sums(folder: Path) -> str:
    """What ``sha256sum`` says of all files below a folder."""
    command = "find . -type f -print0 | sort -z | xargs -0 sha256sum"
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == KILLED_FILES + 4
    return done.stdout


def counted_by_mlflow(url: str) -> None:
    """MLflow's own client finds all runs of some experiments, and their files."""
    from mlflow import MlflowClient  # noqa: PLC0415 -- takes seconds

    client = MlflowClient(url)
    for experiment in ("1", "7", "20"):
        found, token = set[str](), None
        while token != "":
            page = client.search_runs([experiment], max_results=1000, page_token=token)
            found |= {run.info.run_id for run in page}
            token = page.token or ""
        assert found == {
            run_id(run) for run in range(KILLED_RUNS) if experiment_of(run) == experiment
        }
    listed = client.list_artifacts(run_id(0))
    assert [file.path for file in listed] == ["large.bin", "model"]
