"""PostgreSQL read and filled by several connections: processor time, and through a slow link.

    pytest -m bench -n 0 -s tests/bench/bench_jobs.py

MLPORTER_BENCH_RUNS says how many runs of 500 points there are: 1,000 unless told.
"""

from __future__ import annotations

import os
import shutil
import time
from functools import partial

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


@pytest.fixture(scope="module")
def bundle(filled, tmp_path_factory):
    """A bundle of it."""
    folder = tmp_path_factory.mktemp("filled") / "bundle"
    mlporter.export(filled, str(folder), jobs=1)
    return str(folder)


@pytest.fixture
def targets(postgres):
    """Gives the address of a new registry, instead of the one before."""
    urls = []

    def new(port=None):
        for url in urls:
            postgres.drop(url)
        urls[:] = [postgres.new_mlflow_database()]
        plain = postgres.plain(urls[0])
        return plain if port is None else through(plain, port)

    yield new
    for url in urls:
        postgres.drop(url)


def through(address, port):
    """The same database behind a port of this machine."""
    return address.partition("?")[0].replace("@/", f"@127.0.0.1:{port}/")


def exporting(address, folder, jobs):
    shutil.rmtree(folder, ignore_errors=True)
    mlporter.export(address, str(folder), jobs=jobs)


def importing(bundle, address, jobs):
    mlporter.import_(bundle, address, artifacts="none", jobs=jobs)


def processor_time(postgres, work):
    """The server's, with its processes that have ended, and this process's."""
    busy = Busy(postgres.process)
    before = os.times()
    work()
    after = os.times()
    time.sleep(0.2)  # until what the connections ran in has ended, and is counted
    return busy.server + after.user + after.system - before.user - before.system


def add_processor_times(what, used):
    least = {jobs: min(seconds) for jobs, seconds in used.items()}
    for jobs in JOBS[1:]:
        said = f"{what}, processor time: {jobs} connections / 1"
        ratios.add(said, least[jobs], least[1], 1.2)


def test_processor_time(filled, postgres, tmp_path):
    exporting(filled, tmp_path / "bundle", 1)  # imports
    used = {jobs: [] for jobs in JOBS}
    for _ in range(4):
        for jobs in JOBS:
            work = partial(exporting, filled, tmp_path / "bundle", jobs)
            used[jobs].append(processor_time(postgres, work))
    add_processor_times("export", used)


def test_filling(bundle, postgres, targets):
    """Processor time, and time, without a link."""
    importing(bundle, targets(), 1)  # imports
    used = {jobs: [] for jobs in JOBS}
    took = {jobs: [] for jobs in JOBS}
    for _ in range(4):
        for jobs in JOBS:
            address = targets()
            begun = time.perf_counter()
            used[jobs].append(processor_time(postgres, partial(importing, bundle, address, jobs)))
            took[jobs].append(time.perf_counter() - begun - 0.2)
    add_processor_times("import", used)
    for jobs in JOBS[1:]:
        ratios.add(f"import: {jobs} connections / 1", min(took[jobs]), min(took[1]), 1)


def test_filling_through_a_slow_link(filled, bundle, targets):
    socket = filled.partition("host=")[2] + "/.s.PGSQL.5432"
    took = {}
    with slow_link(socket, RATE) as port:
        for jobs in JOBS:
            address = targets(port)
            begun = time.perf_counter()
            importing(bundle, address, jobs)
            took[jobs] = time.perf_counter() - begun
    for jobs in JOBS[1:]:
        said = f"import through a slow link: {jobs} connections / 1"
        ratios.add(said, took[jobs], took[1], 1 / jobs)


def test_through_a_slow_link(filled, tmp_path):
    socket = filled.partition("host=")[2] + "/.s.PGSQL.5432"
    with slow_link(socket, RATE) as port:
        address = through(filled, port)
        took = ratios.side_by_side(
            *(lambda jobs=jobs: exporting(address, tmp_path / "bundle", jobs) for jobs in JOBS),
            times=2,
        )
    for jobs, seconds in zip(JOBS[1:], took[1:], strict=True):
        ratios.add(
            f"export through a slow link: {jobs} connections / 1", seconds, took[0], 1 / jobs
        )
