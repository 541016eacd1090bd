"""Workers: files to an S3 that answers after 50 ms, by 1, 2 and 4 workers of a Dask cluster.

    pytest -m bench -n 0 -s tests/bench/bench_scale.py

What a machine waits for is shared by workers, whatever its processors: the files are few and the
answers late. MLPORTER_BENCH_FILES says how much of the workload (400 files of 300 kB) there is.
"""

from __future__ import annotations

import os

import pytest

import mlporter
from tests.bench import ratios
from tests.repository.registry import SmallRegistry
from tests.support.slow_s3 import late

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

FILES = round(400 * float(os.environ.get("MLPORTER_BENCH_FILES", "1")))
LATE = 0.05
SIZE = 300_000


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
