"""An export while others write: one state of the registry, and nobody is disturbed.

Issue of mlflow-export-import (PEERS.md): half-transferred run (#205).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest

import mlporter
from tests.support.databases import rows
from tests.support.mlflow_session import QUIET_ENVIRONMENT

#: Logs run after run until its input ends, as MLflow's own client does it.
WRITER = """
import sys, threading
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

url, root = sys.argv[1:]
client = MlflowClient(url, url)
experiment = client.create_experiment("busy", artifact_location=root)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
number = 0
while not ended.is_set():
    run = client.create_run(experiment, tags={"created": "yes"}).info.run_id
    client.log_batch(run, [Metric(f"m{i}", i, i, 0) for i in range(10)],
                     [Param(f"p{i}", "x") for i in range(10)], [RunTag("batch", "yes")])
    client.log_text(run, f"file {number}", "file.txt")
    client.set_terminated(run)
    client.set_tag(run, "complete", "yes")
    number += 1
    if number == 3:
        print("writing", flush=True)
print(number, flush=True)
"""

BUNDLES = 3


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_a_snapshot_never_holds_half_of_anything(target_url, tmp_path):
    environment = {**os.environ, **QUIET_ENVIRONMENT}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITER, target_url, str(tmp_path / "artifacts")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as writer:
        assert writer.stdout.readline() == "writing\n"
        seen = []
        for number in range(BUNDLES):
            bundle = tmp_path / f"bundle {number}"
            result = mlporter.export(target_url, str(bundle))
            assert result.exit_code in {0, 3}
            seen.append(check(bundle))
            wait_for_more_runs(target_url, seen[-1])
        said, errors = writer.communicate()
    assert writer.returncode == 0, errors
    # It went on all the while.
    assert 3 <= seen[0] < seen[-1] < int(said)


def wait_for_more_runs(url, than):
    while rows(url, "SELECT count(*) FROM runs")[0][0] <= than:
        pass


def check(bundle):
    """What is in a bundle is one state of the registry; returns how many runs it has."""
    assert mlporter.verify(str(bundle)).exit_code == 0

    def read(table):
        return pq.read_table(bundle / "tables" / table).to_pylist()

    runs = {row["run_uuid"]: row for row in read("runs")}
    tags = {(row["run_uuid"], row["key"]) for row in read("tags")}
    params = Counter(row["run_uuid"] for row in read("params"))
    metrics = Counter(row["run_uuid"] for row in read("metrics"))
    assert {run for run, _ in tags} | set(params) | set(metrics) <= set(runs)
    for run, row in runs.items():
        assert (run, "created") in tags
        assert params[run] in {0, 10}
        assert metrics[run] in {0, 10}
        if (run, "complete") in tags:
            assert (params[run], metrics[run], row["status"]) == (10, 10, "FINISHED")
            assert (run, "batch") in tags
    unfinished = [run for run in runs if (run, "complete") not in tags]
    assert len(unfinished) <= 1
    with_file = {row["owner_id"] for row in read("artifacts")}
    assert set(runs) - set(unfinished) <= with_file
    return len(runs)
