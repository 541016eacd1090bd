"""Moving a registry over HTTP, against the loop over MLflow's client that everyone writes.

    pytest -m bench -n 0 -s tests/bench/bench_server.py

MLPORTER_BENCH_SERVER_RUNS says how many runs there are: 500 unless told.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import ViewType
from sqlalchemy import create_engine, text

import mlporter
from tests.bench import ratios
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_SERVER_RUNS", "500"))
FILES = 3
WORKERS = 8


def put_files(database, folder):
    """One experiment with all runs, and three small files of each behind the server's proxy."""
    engine = create_engine(database)
    root = "'mlflow-artifacts:/1/' || run_uuid || '/artifacts'"
    with engine.begin() as connection:
        for table in ("model_versions", "registered_models"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text(f"UPDATE runs SET experiment_id = 1, artifact_uri = {root}"))
        connection.execute(
            text("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/1' "
                 "WHERE experiment_id = 1")
        )  # fmt: skip
        runs = [row[0] for row in connection.execute(text("SELECT run_uuid FROM runs"))]
    engine.dispose()
    for run in runs:
        place = folder / "1" / run / "artifacts"
        place.mkdir(parents=True)
        for number in range(FILES):
            (place / f"file-{number}.txt").write_text(f"{run} {number}\n" * 50)


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def server(request, mlflow_sqlite_template, tmp_path_factory):
    """A server with the workload: engine, address."""
    folder = tmp_path_factory.mktemp("bench-server")
    if request.param == "SQLite":
        copy_sqlite(mlflow_sqlite_template, folder / "mlflow.db")
        url = sqlite_url(folder / "mlflow.db")
    else:
        url = request.getfixturevalue("postgres").new_mlflow_database()
    fill(url, RUNS)
    put_files(url, folder / "files")
    with mlflow_server(url, folder / "files", "--workers", "4") as address:
        yield request.param, address


def plain_export(address, folder):
    """What everyone writes: each metric of each run, and each file, one after the other."""
    points = 0
    with mlflow_at(address):
        client = mlflow.MlflowClient()
        token = None
        while True:
            runs = client.search_runs(
                ["1"], run_view_type=ViewType.ALL, max_results=1000, page_token=token
            )
            for run in runs:
                for key in run.data.metrics:
                    points += len(client.get_metric_history(run.info.run_id, key))
                place = folder / run.info.run_id
                place.mkdir(parents=True)
                for file in client.list_artifacts(run.info.run_id):
                    client.download_artifacts(run.info.run_id, file.path, str(place))
            token = runs.token
            if not token:
                return points


def processor_seconds():
    """Of all processes of MLflow servers that this one started, so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            command = stat.with_name("cmdline").read_bytes()
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if b"mlflow" in command or b"multiprocessing" in command:
            used += int(fields[11]) + int(fields[12])
    return used / ticks


def test_export(server, tmp_path):
    engine, address = server
    bundle, plain = tmp_path / "bundle", tmp_path / "plain"

    def export():
        shutil.rmtree(bundle, ignore_errors=True)
        return mlporter.export(address, str(bundle), workers=WORKERS)

    export()  # the server's first requests are slow for everyone
    before, start = processor_seconds(), time.perf_counter()
    result = export()
    ours = time.perf_counter() - start
    busy = (processor_seconds() - before) / ours / (os.cpu_count() or 1)
    start = time.perf_counter()
    points = plain_export(address, plain)
    reference = time.perf_counter() - start
    carried = {table.table: table.carried for table in result.tables}
    assert carried["metrics"] == points
    assert result.files.files == len([file for file in plain.rglob("*") if file.is_file()])
    ratios.add(f"server on {engine}: export / loop over MLflow's client", ours, reference, 1 / 15)
    print(f"\n{engine}: the server's processors are busy for {busy:.0%} of the export")


@pytest.mark.parametrize("server", ["SQLite"], indirect=True)
def test_memory(server, tmp_path):
    _, address = server
    peak = peak_memory("export", address, str(tmp_path / "bundle"), workers=WORKERS)
    ratios.add("server: peak memory of export / 400 MB", peak, 400, 1.0, unit="MB")
