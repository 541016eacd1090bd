"""Workers: files to an S3 that answers after 50 ms, by 1, 2 and 4 workers of a Dask cluster.

And files from bucket to bucket of such an S3: copied by it, and streamed through this machine.

    pytest -m bench -n 0 -s tests/bench/bench_scale.py

What a machine waits for is shared by workers, whatever its processors: the files are few and the
answers late. MLPORTER_BENCH_FILES says how much of the workload (400 files of 300 kB, 200 of 1 MB)
there is.
"""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

import mlporter
from tests.bench import ratios
from tests.repository.registry import SmallRegistry
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url
from tests.support.slow_s3 import late

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

FILES = round(400 * float(os.environ.get("MLPORTER_BENCH_FILES", "1")))
LATE = 0.05
SIZE = 300_000
MOVED = round(200 * float(os.environ.get("MLPORTER_BENCH_FILES", "1")))
MEGABYTE = 1_000_000


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
