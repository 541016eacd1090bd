"""Moving a registry into a server, against the loop over MLflow's client that everyone writes.

    pytest -m bench -n 0 -s tests/bench/bench_server_import.py

Sizes are set as for bench_server. Import memory is measured with RUNS and a tenth of them: a server
takes its time to be filled.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

import mlporter
from tests.bench import ratios
from tests.bench.bench_server import RUNS, WORKERS, put_files
from tests.bench.busy import Busy, server_process
from tests.bench.workload import fill
from tests.support.engines import copy_sqlite
from tests.support.memory import peak_memory
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]


def make_bundle(mlflow_sqlite_template, folder, runs):
    """A bundle of so many runs with their files, in a folder."""
    copy_sqlite(mlflow_sqlite_template, folder / "mlflow.db")
    url = sqlite_url(folder / "mlflow.db")
    fill(url, runs)
    put_files(url, folder / "files")
    mapped = f"mlflow-artifacts:/={folder / 'files'}/"
    result = mlporter.export(url, str(folder / "bundle"), uri_map=[mapped])
    assert result.files.files == runs * 3
    return folder / "bundle"


@pytest.fixture(scope="module")
def bundle(mlflow_sqlite_template, tmp_path_factory):
    """The workload as a bundle, with its files."""
    return make_bundle(mlflow_sqlite_template, tmp_path_factory.mktemp("bench-bundle"), RUNS)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def targets(request, mlflow_sqlite_template, tmp_path):
    """Engine, the addresses of two servers that are awake, and the process of a database."""
    urls, processes = [], ()
    for name in ("ours", "plain"):
        if request.param == "SQLite":
            copy_sqlite(mlflow_sqlite_template, tmp_path / f"{name}.db")
            urls.append(sqlite_url(tmp_path / f"{name}.db"))
        else:
            postgres = request.getfixturevalue("postgres")
            urls.append(postgres.new_mlflow_database())
            processes = (postgres.process,)
    with (
        mlflow_server(urls[0], tmp_path / "one", "--workers", "4") as ours,
        mlflow_server(urls[1], tmp_path / "two", "--workers", "4") as plain,
    ):
        wake(ours)
        wake(plain)
        yield request.param, ours, plain, processes


def wake(address):
    """Use every worker of a server a little: first requests are slow for everyone."""
    client = MlflowClient(address, address)
    experiment = client.create_experiment("awake")

    def use(_):
        run = client.create_run(experiment).info.run_id
        client.log_batch(run, [Metric("m", 1.0, 1, 1)], [Param("p", "")], [RunTag("t", "")])
        client.log_text(run, "", "file.txt")
        client.set_terminated(run)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(40)))


def plain_import(bundle, address, folder):
    """What everyone writes: run by run, with what the client offers."""
    tables = {
        name: pd.read_parquet(bundle / "tables" / name)
        for name in ("runs", "params", "tags", "metrics")
    }
    below = {name: dict(list(tables[name].groupby("run_uuid"))) for name in tables}
    folder.mkdir()
    with mlflow_at(address):
        client = MlflowClient()
        experiment = client.create_experiment("plain")
        for row in tables["runs"].itertuples():
            run = client.create_run(experiment, row.start_time, run_name=row.name).info.run_id
            points = [
                Metric(m.key, m.value, m.timestamp, m.step)
                for m in below["metrics"][row.run_uuid].itertuples()
            ]
            client.log_batch(
                run,
                points,
                [Param(p.key, p.value) for p in below["params"][row.run_uuid].itertuples()],
                [RunTag(t.key, t.value) for t in below["tags"][row.run_uuid].itertuples()],
            )
            for number in range(3):
                file = folder / f"file-{number}.txt"
                file.write_text(f"{row.run_uuid} {number}\n" * 50)
                client.log_artifact(run, str(file))
            client.set_terminated(run, row.status, row.end_time)


def test_import(bundle, targets, tmp_path):
    engine, ours, plain, processes = targets
    busy, start = Busy(server_process(ours), *processes), time.perf_counter()
    first = mlporter.import_(str(bundle), ours, workers=WORKERS)
    seconds, used, said = time.perf_counter() - start, busy.server, str(busy)
    assert (first.exit_code, first.left_out.unexpected) == (0, 0)
    start = time.perf_counter()
    second = mlporter.import_(str(bundle), ours, workers=WORKERS)
    again = time.perf_counter() - start
    assert (second.rows, second.files.stored_files) == (0, 0)
    busy, start = Busy(server_process(plain), *processes), time.perf_counter()
    plain_import(bundle, plain, tmp_path / "plain-files")
    reference = time.perf_counter() - start
    ratios.add(f"server on {engine}: import / loop over the client", seconds, reference, 1 / 5)
    ratios.add(f"server on {engine}: second import / first", again, seconds, 0.1)
    name = f"server on {engine}: its processor time for import / for that loop"
    ratios.add(name, used, busy.server, 1.0)
    print(f"\n{engine}, import: {said}")


@pytest.mark.parametrize("targets", ["SQLite"], indirect=True)
def test_memory(bundle, targets, mlflow_sqlite_template, tmp_path):
    _, ours, other, _ = targets
    runs = max(1, RUNS // 10)
    small = make_bundle(mlflow_sqlite_template, tmp_path / "small", runs)
    few = peak_memory("import", str(small), other, workers=WORKERS)
    many = peak_memory("import", str(bundle), ours, workers=WORKERS)
    ratios.add(f"server: peak memory of import, {RUNS} / {runs} runs", many, few, 1.2, unit="MB")
    ratios.add("server: peak memory of import / 400 MB", many, 400, 1.0, unit="MB")
