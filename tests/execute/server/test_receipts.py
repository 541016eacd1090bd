"""Points that an earlier import read back: not read again, unless anything says they may differ."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

import mlporter
from mlporter.catalogue import source_tags
from mlporter.stores.rest.client import Client
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import mlflow_at, sqlite_url


@pytest.fixture
def source(mlflow_sqlite_template, tmp_path):
    """The address of a database with two runs of two metrics, and MLflow's client for it."""
    copy_sqlite(mlflow_sqlite_template, tmp_path / "source.db")
    address, files = sqlite_url(tmp_path / "source.db"), tmp_path / "files"
    files.mkdir()
    with mlflow_at(address):
        client = MlflowClient(address, address)
        experiment = client.create_experiment("e", artifact_location=str(files))
        for _ in range(2):
            run = client.create_run(experiment).info.run_id
            points = [Metric(key, n / 3, n, n) for key in ("a", "b") for n in range(5)]
            client.log_batch(run, [*points, Metric("a", float("nan"), 9, 9)])
        yield address, client


@pytest.fixture
def asked(monkeypatch):
    """Histories that servers are asked for from now on."""
    found = []
    really = Client._json

    def recording(self, method, path, **options):
        if "get-history" in path:
            found.append(options["query"])
        return really(self, method, path, **options)

    monkeypatch.setattr(Client, "_json", recording)
    return found


def runs_of(client):
    return [
        run.info.run_id
        for run in client.search_runs([client.get_experiment_by_name("e").experiment_id])
    ]


def change(server, statement, *values):
    """Do what nobody can do over REST."""
    with closing(sqlite3.connect(server.database)) as live, live:
        assert live.execute(statement, values).rowcount > 0


def test_points_that_were_read_back_are_not_read_again(source, server, asked, writes):
    address, _ = source
    assert mlporter.copy(address, server.address).exit_code == 0
    assert asked
    asked.clear()
    writes.clear()
    second = mlporter.copy(address, server.address)
    assert (second.exit_code, second.rows, asked, writes) == (0, 0, [], [])
    points = next(table for table in second.tables if table.table == "metrics")
    assert points.already_there == 22
    assert mlporter.diff(address, server.address).identical
    assert asked


def test_a_new_point_is_found_and_the_other_runs_are_not_read(source, server, asked):
    address, client = source
    mlporter.copy(address, server.address)
    one, _ = runs_of(client)
    client.log_metric(one, "a", 7.0, timestamp=3, step=3)  # not the last one
    asked.clear()
    result = mlporter.copy(address, server.address)
    assert (result.exit_code, result.rows) == (0, 1)
    told = [query["run_id"] for query in asked]
    assert {run for runs in told for run in ([runs] if isinstance(runs, str) else runs)} == {
        server.copy_of(one).info.run_id
    }
    history = server.client().get_metric_history(server.copy_of(one).info.run_id, "a")
    assert sorted(point.value for point in history if point.step == 3) == [1.0, 7.0]
    assert mlporter.diff(address, server.address).identical


def test_a_copy_whose_last_point_is_gone_is_read_and_mended(source, server):
    """Somebody was in the database."""
    address, client = source
    mlporter.copy(address, server.address)
    copy = server.copy_of(runs_of(client)[0]).info.run_id
    for table in ("metrics", "latest_metrics"):
        change(server, f"DELETE FROM {table} WHERE run_uuid = ? AND key = 'b'", copy)
    result = mlporter.copy(address, server.address)
    assert (result.exit_code, result.rows) == (0, 5)
    assert mlporter.diff(address, server.address).identical


def test_a_run_that_was_removed_is_made_again(source, server):
    """As `mlflow gc` does."""
    address, client = source
    mlporter.copy(address, server.address)
    copy = server.copy_of(runs_of(client)[0]).info.run_id
    for table in ("metrics", "latest_metrics", "tags", "runs"):
        change(server, f"DELETE FROM {table} WHERE run_uuid = ?", copy)
    assert mlporter.copy(address, server.address).exit_code == 0
    assert mlporter.diff(address, server.address).identical


def test_what_the_server_refused_is_not_noted(source, server, asked):
    address, client = source
    one, other = runs_of(client)
    with closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as live, live:
        # A key that MLflow's validation does not take.
        live.execute("UPDATE metrics SET key = 'a//b' WHERE key = 'a' AND run_uuid = ?", (one,))
    assert mlporter.copy(address, server.address).exit_code == 3
    asked.clear()
    again = mlporter.copy(address, server.address)
    assert again.exit_code == 3
    assert again.left_out.unexpected
    assert server.copy_of(other).info.run_id not in str(asked)
    assert server.copy_of(one).info.run_id in str(asked)


def test_what_was_proved_of_a_copy_is_not_said_of_its_copy(source, server, writes):
    """The tag of a source that is itself a copy is of that copy alone."""
    address, client = source
    id_ = client.get_experiment_by_name("e").experiment_id
    client.set_experiment_tag(id_, source_tags.METRICS, "0" * 1024)
    assert mlporter.copy(address, server.address).exit_code == 0
    tags = server.client().get_experiment_by_name("e").tags
    assert tags[source_tags.METRICS] != "0" * 1024
    writes.clear()
    assert mlporter.copy(address, server.address).rows == 0
    assert writes == []
