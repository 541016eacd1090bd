"""Reading PostgreSQL by several connections: processor time, and time through a slow link.

    pytest -m bench -n 0 -s tests/bench/bench_jobs.py

MLPORTER_BENCH_RUNS says how many runs of 500 points there are: 1,000 unless told.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

import mlporter
from tests.bench import ratios
from tests.bench.busy import Busy
from tests.bench.slow_link import slow_link
from tests.bench.workload import fill

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_RUNS", "1000"))
RATE = 2 << 20
"""Bytes a second of a connection, so that the link bounds four of them, and not the processors."""
JOBS = (1, 2, 4)


@pytest.fixture(scope="module")
def filled(postgres):
    """The address of a database with the workload."""
    url = postgres.new_mlflow_database()
    fill(url, RUNS)
    yield postgres.plain(url)
    postgres.drop(url)


def exporting(address, folder, jobs):
    shutil.rmtree(folder, ignore_errors=True)
    mlporter.export(address, str(folder), jobs=jobs)


def test_processor_time(filled, postgres, tmp_path):
    """The server's, with its processes that have ended, and this process's."""
    exporting(filled, tmp_path / "bundle", 1)  # imports
    used = {jobs: [] for jobs in JOBS}
    for _ in range(4):
        for jobs in JOBS:
            busy = Busy(postgres.process)
            before = os.times()
            exporting(filled, tmp_path / "bundle", jobs)
            after = os.times()
            time.sleep(0.2)  # until what the connections ran in has ended, and is counted
            own = after.user + after.system - before.user - before.system
            used[jobs].append(busy.server + own)
    least = {jobs: min(seconds) for jobs, seconds in used.items()}
    for jobs in JOBS[1:]:
        what = f"export, processor time: {jobs} connections / 1"
        ratios.add(what, least[jobs], least[1], 1.2)


def test_through_a_slow_link(filled, tmp_path):
    socket = filled.partition("host=")[2] + "/.s.PGSQL.5432"
    with slow_link(socket, RATE) as port:
        address = filled.partition("?")[0].replace("@/", f"@127.0.0.1:{port}/")
        took = ratios.side_by_side(
            *(lambda jobs=jobs: exporting(address, tmp_path / "bundle", jobs) for jobs in JOBS),
            times=2,
        )
    for jobs, seconds in zip(JOBS[1:], took[1:], strict=True):
        ratios.add(
            f"export through a slow link: {jobs} connections / 1", seconds, took[0], 1 / jobs
        )
