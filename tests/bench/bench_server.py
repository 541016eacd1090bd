"""Moving a registry over HTTP, against the loop over MLflow's client that everyone writes.

    pytest -m bench -n 0 -s tests/bench/bench_server.py

MLPORTER_BENCH_SERVER_RUNS says how many runs there are: 500 unless told;
MLPORTER_BENCH_SERVER_MANY how many the memory is measured with: 5,000; and
MLPORTER_BENCH_SERVER_WORKERS the requests at a time: 4, as the command line has it.
"""

from __future__ import annotations

import os
import shutil
import time

import mlflow
import pytest
from mlflow.entities import ViewType
from sqlalchemy import create_engine, text

import mlporter
from tests.bench import ratios
from tests.bench.busy import Busy, server_process
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("MLPORTER_BENCH_SERVER_RUNS", "500"))
MANY = int(os.environ.get("MLPORTER_BENCH_SERVER_MANY", "5000"))
WORKERS = int(os.environ.get("MLPORTER_BENCH_SERVER_WORKERS", "4"))
FILES = 3


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
    """A server with the workload: engine, address, its process and its database's."""
    folder = tmp_path_factory.mktemp("bench-server")
    processes: list[int] = []
    if request.param == "SQLite":
        copy_sqlite(mlflow_sqlite_template, folder / "mlflow.db")
        url = sqlite_url(folder / "mlflow.db")
    else:
        postgres = request.getfixturevalue("postgres")
        url, processes = postgres.new_mlflow_database(), [postgres.process]
    fill(url, RUNS)
    put_files(url, folder / "files")
    with mlflow_server(url, folder / "files", "--workers", "4") as address:
        yield request.param, address, (server_process(address), *processes)


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


def test_export(server, tmp_path):
    engine, address, processes = server
    bundle, plain = tmp_path / "bundle", tmp_path / "plain"

    def export():
        shutil.rmtree(bundle, ignore_errors=True)
        return mlporter.export(address, str(bundle), workers=WORKERS)

    export()  # the server's first requests are slow for everyone
    busy, start = Busy(*processes), time.perf_counter()
    result = export()
    ours, seconds, said = time.perf_counter() - start, busy.server, str(busy)
    busy, start = Busy(*processes), time.perf_counter()
    points = plain_export(address, plain)
    reference = time.perf_counter() - start
    carried = {table.table: table.copied for table in result.tables}
    assert carried["metrics"] == points
    assert result.files.files == len([file for file in plain.rglob("*") if file.is_file()])
    ratios.add(f"server on {engine}: export / loop over MLflow's client", ours, reference, 1 / 15)
    name = f"server on {engine}: its processor time for export / for that loop"
    ratios.add(name, seconds, busy.server, 1 / 15)
    print(f"\n{engine}, export: {said}")


@pytest.mark.parametrize("server", ["SQLite"], indirect=True)
def test_memory(server, mlflow_sqlite_template, tmp_path):
    _, address, _ = server
    few = peak_memory("export", address, str(tmp_path / "few"), workers=WORKERS)
    copy_sqlite(mlflow_sqlite_template, tmp_path / "many.db")
    url = sqlite_url(tmp_path / "many.db")
    fill(url, MANY)
    put_files(url, tmp_path / "files")
    with mlflow_server(url, tmp_path / "files", "--workers", "4") as large:
        many = peak_memory("export", large, str(tmp_path / "many"), workers=WORKERS)
    ratios.add(f"server: peak memory of export, {MANY} / {RUNS} runs", many, few, 1.2, unit="MB")
    ratios.add("server: peak memory of export / 400 MB", many, 400, 1.0, unit="MB")
