"""What it takes to promote a large model between two servers, against `curl` of the same bytes.

    pytest -m bench -n 0 -s tests/bench/bench_promote.py

MLPORTER_BENCH_MODEL_MB says how large the model is: 500 MB unless told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import mlflow
import pytest

from mlporter.errors import ExitCode
from tests.bench import ratios
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

MEGABYTES = int(os.environ.get("MLPORTER_BENCH_MODEL_MB", "500"))


def large_model(address: str, folder: Path) -> str:
    """Register a model of so many random bytes; its run's artifact URI."""
    folder.mkdir()
    with (folder / "weights.bin").open("wb") as file:
        for _ in range(MEGABYTES):
            file.write(os.urandom(1_000_000))
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
    with mlflow_at(address):
        client = mlflow.MlflowClient(address, address)
        run = client.create_run(client.create_experiment("large"))
        client.log_metric(run.info.run_id, "rmse", 0.1)
        client.log_artifacts(run.info.run_id, str(folder), "model")
        client.set_terminated(run.info.run_id)
        client.create_registered_model("large")
        client.create_model_version("large", f"{run.info.artifact_uri}/model", run.info.run_id)
    return str(run.info.artifact_uri)


def test_between_servers(mlflow_sqlite_template, tmp_path):
    for name in ("dev", "prod"):
        copy_sqlite(mlflow_sqlite_template, tmp_path / f"{name}.db")
    with (
        mlflow_server(sqlite_url(tmp_path / "dev.db"), tmp_path / "one") as dev,
        mlflow_server(sqlite_url(tmp_path / "prod.db"), tmp_path / "two") as prod,
    ):
        uri = large_model(dev, tmp_path / "model")
        below = uri.removeprefix("mlflow-artifacts:").lstrip("/")
        path = f"/api/2.0/mlflow-artifacts/artifacts/{below}/model/weights.bin"
        copy = tmp_path / "copy.bin"

        def curl() -> None:
            subprocess.run(["curl", "-sf", "-o", copy, f"{dev}{path}"], check=True)
            up = f"{prod}/api/2.0/mlflow-artifacts/artifacts/curl/weights.bin"
            subprocess.run(["curl", "-sf", "-T", copy, up], check=True)

        asked = ("models:/large/1", f"--from={dev}", f"--to={prod}")
        gate, done = seconds(lambda: run("promote", *asked, "--max-size=1MB"))
        assert done == ExitCode.REFUSED
        plain, _ = seconds(curl)
        receipt = f"--receipt={tmp_path / 'receipt.yaml'}"
        promoted, peak = seconds(
            lambda: peak_memory("promote", *asked, "--alias=champion", receipt)
        )
        ratios.add(f"promote {MEGABYTES} MB / curl down and up", promoted, plain, 1.5)
        ratios.add(f"promote {MEGABYTES} MB: memory / 300 MB", peak, 300, 1.0, "MB")
        ratios.add("a closed gate / curl down and up", gate, plain, 1.0)


def run(*arguments: str) -> int:
    command = [sys.executable, "-m", "mlporter", *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
