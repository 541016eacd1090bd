"""File stores into databases, against MLflow's own migration; and how that grows.

pytest -m bench -n 0 -s tests/bench/bench_filestore.py
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.bench import ratios
from tests.support.mlflow_session import QUIET_ENVIRONMENT, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS, KEYS, STEPS, PARAMS, TAGS = 500, 20, 50, 20, 10
FEW, MANY = 2_000, 20_000

META = """\
artifact_uri: {root}/1/{run}/artifacts
end_time: 1700000060000
entry_point_name: ''
experiment_id: '1'
lifecycle_stage: active
run_id: {run}
run_name: run-{number}
run_uuid: {run}
source_name: ''
source_type: 4
source_version: ''
start_time: 1700000000000
status: 3
tags: []
user_id: bench
"""


def write_store(root, runs, *, keys=KEYS, steps=STEPS, params=PARAMS, tags=TAGS):
    """A store of many runs, each like the others."""
    chance = random.Random(0)
    experiment = root / "1"
    experiment.mkdir(parents=True)
    (root / "models").mkdir()
    (experiment / "meta.yaml").write_text(
        f"artifact_location: {experiment}\nexperiment_id: '1'\nlifecycle_stage: active\n"
        "name: bench\ncreation_time: 1\nlast_update_time: 1\n"
    )
    for number in range(runs):
        folder = experiment / f"a{chance.getrandbits(124):031x}"
        for name in ("metrics", "params", "tags", "artifacts"):
            (folder / name).mkdir(parents=True)
        meta = META.format(root=root, run=folder.name, number=number)
        (folder / "meta.yaml").write_text(meta)
        for key in range(keys):
            lines = (f"{1700000000000 + s} {chance.random()} {s}\n" for s in range(steps))
            (folder / "metrics" / f"metric_{key}").write_text("".join(lines))
        for key in range(params):
            (folder / "params" / f"param_{key}").write_text(f"value {number + key}")
        for key in range(tags):
            (folder / "tags" / f"tag_{key}").write_text(f"some text of a tag {number * 31 + key}")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """500 runs with 500,000 points."""
    root = tmp_path_factory.mktemp("store") / "mlruns"
    write_store(root, RUNS)
    return root


def run(*command):
    environment = {**os.environ, **QUIET_ENVIRONMENT}
    subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_against_migrate_filestore(store, postgres, tmp_path):
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    targets = []

    def before():
        for path in tmp_path.glob("*.db*"):
            path.unlink()
        for old in targets:
            postgres.drop(old)
        targets[:] = [postgres.plain(postgres.new_database())]

    copy = ("mlporter", "copy", store)
    copying, migrating, into_postgresql = ratios.side_by_side(
        lambda: run(*copy, sqlite_url(ours), "--artifacts", "reference"),
        lambda: run(
            "mlflow", "migrate-filestore", "--source", store.parent, "--target", sqlite_url(theirs)
        ),
        lambda: run(*copy, targets[0], "--artifacts", "reference"),
        before=before,
    )
    ratios.add("file store: copy to SQLite / mlflow migrate-filestore", copying, migrating, 0.2)
    ratios.add("file store: copy to PostgreSQL / to SQLite", into_postgresql, copying, 1.1)


def test_how_it_grows(tmp_path, mlflow_sqlite_template):
    few, many = (grown(tmp_path / str(runs), runs) for runs in (FEW, MANY))
    per_run = [seconds / runs * 1000 for (seconds, _), runs in ((few, FEW), (many, MANY))]
    ratios.add(
        f"file store: time a run, {MANY:,} runs / {FEW:,}", per_run[1], per_run[0], 1.1, "ms"
    )
    ratios.add(f"file store: memory, {MANY:,} runs / {FEW:,}", many[1], few[1], 1.2, "MB")
    two, _ = exported(tmp_path / str(MANY), MANY, 2)
    ratios.add(f"file store: {MANY:,} runs, --processes 2 / none", two, many[0], 1.0)


def grown(folder: Path, runs: int):
    """Seconds and megabytes of an export of so many runs."""
    # Enough points that what is kept of a table before it is written out is full in both.
    write_store(folder / "mlruns", runs, keys=4, steps=125, params=5, tags=5)
    return exported(folder, runs)


def exported(folder: Path, runs: int, processes: int = 0):
    """Seconds and megabytes of an export, by so many processes; prints what all of them took."""
    start, before = time.perf_counter(), _used()
    code = (
        "import resource, sys, mlporter\n"
        "if __name__ == '__main__':\n"
        "    source, bundle, processes = sys.argv[1:]\n"
        "    processes = int(processes) or None\n"
        "    mlporter.export(source, bundle, artifacts='none', processes=processes)\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)\n"
    )
    places = (str(folder / "mlruns"), str(folder / f"bundle{processes}"))
    command = [sys.executable, "-c", code, *places, str(processes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    megabytes, here = map(float, done.stdout.split())
    print(f"{runs} runs, {processes} processes: {_used() - before:.1f} s of the processor", end="")
    print(f", {here:.1f} s of them in the command's own process")
    return time.perf_counter() - start, megabytes


def _used() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
