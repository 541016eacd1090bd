"""Runs that look as they did: a sync of two servers does not read their points again."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

import mlporter
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rest.client import Client
from mlporter.stores.server.reading.metric_histories import History

POINTS = 7 + 6 + 7
"""Of the run that is over, of the one that is still running, and of the one in the other."""


@pytest.fixture
def source(other_server, beginnings):
    """A server with three runs in two experiments, of which the last one is still running."""

    def fill():
        client = other_server.client()
        for name, states in (("e", ("FINISHED", "RUNNING")), ("f", ("FINISHED",))):
            experiment = client.create_experiment(name)
            for state in states:
                run = client.create_run(experiment, run_name=f"{name} {state}").info.run_id
                points = [Metric("a", n / 3, n, n) for n in range(4, 10)]
                few = [Metric("b", float("nan"), 9, 9)] if state == "FINISHED" else []
                client.log_batch(run, [*points, *few])
                if state == "FINISHED":
                    client.set_terminated(run)

    beginnings.begin("source", fill, other_server)
    return other_server


@pytest.fixture
def in_step(source, server, beginnings):
    """The other server, after a first sync of runs that are all over."""

    def first():
        finish(source)
        assert sync(source, server).exit_code == 0

    beginnings.begin("in step", first, source, server)
    return server


@pytest.fixture
def followed(source, server, beginnings):
    """The other server, after a first sync of runs of which one goes on."""
    beginnings.begin("followed", lambda: sync(source, server), source, server)
    return server


@pytest.fixture
def asked(monkeypatch):
    """What servers are asked for from now on: method, path and query of each request."""
    found = []
    really = Client._json

    def recording(self, method, path, **options):
        found.append((self.subject, path, options.get("query") or options.get("body") or {}))
        return really(self, method, path, **options)

    monkeypatch.setattr(Client, "_json", recording)
    return found


def histories(asked):
    """Runs whose points were asked for, on either side."""
    told = [query["run_id"] for _, path, query in asked if "get-history" in path]
    return {run for runs in told for run in ([runs] if isinstance(runs, str) else runs)}


def run_of(source, name):
    client = source.client()
    ids = [one.experiment_id for one in client.search_experiments()]
    (found,) = client.search_runs(ids, f"attributes.run_name = '{name}'")
    return found.info.run_id


def sync(source, server, **options):
    return mlporter.sync(source.address, server.address, **options)


def points_there(server, run, key="a"):
    found = server.client().get_metric_history(server.copy_of(run).info.run_id, key)
    return sorted(point.step for point in found)


def there(result):
    return next(one.already_there for one in result.tables if one.table == "metrics")


def change(server, statement, *values):
    """Do what nobody can do over REST."""
    with closing(sqlite3.connect(server.database)) as live, live:
        assert live.execute(statement, values).rowcount > 0


def finish(source):
    source.client().set_terminated(run_of(source, "e RUNNING"))


def test_a_second_sync_asks_for_no_points_and_little_else(source, in_step, asked, writes):
    server = in_step
    asked.clear()
    writes.clear()
    second = sync(source, server)
    assert (second.exit_code, second.rows, histories(asked), writes) == (0, 0, set(), [])
    assert there(second) == POINTS
    few = len(asked)
    for number in range(4):
        source.client().create_experiment(f"more {number}")
    assert sync(source, server).exit_code == 0
    asked.clear()
    assert sync(source, server).rows == 0
    # Scorers, label schemas and review queues are asked for in each.
    assert len(asked) <= few + 3 * 4


def test_what_changed_is_seen_and_the_other_runs_are_not_read(source, in_step, asked):
    server = in_step
    client, one, other = source.client(), run_of(source, "e FINISHED"), run_of(source, "f FINISHED")
    client.log_metric(one, "a", 7.0, timestamp=20, step=20)
    asked.clear()
    assert sync(source, server).rows > 0
    assert histories(asked) == {one, server.copy_of(one).info.run_id}
    assert points_there(server, one) == [4, 5, 6, 7, 8, 9, 20]
    client.log_metric(one, "c", 7.0, timestamp=1, step=1)  # a new metric
    client.log_metric(other, "a", 7.0, timestamp=1, step=1)  # not the last one; but a tag tells
    client.set_tag(other, "late", "yes")
    assert sync(source, server).exit_code == 0
    assert points_there(server, one, "c") == [1]
    assert points_there(server, other) == [1, 4, 5, 6, 7, 8, 9]
    assert server.copy_of(other).data.tags["late"] == "yes"
    assert mlporter.diff(source.address, server.address).identical
    asked.clear()
    assert sync(source, server).rows == 0
    assert histories(asked) == set()


def test_only_a_full_sync_sees_an_earlier_point_of_a_run_that_was_over(source, followed):
    server = followed
    over, running = run_of(source, "e FINISHED"), run_of(source, "e RUNNING")
    for run in (over, running):
        source.client().log_metric(run, "a", 7.0, timestamp=1, step=1)
    assert sync(source, server).exit_code == 0
    assert points_there(server, running)[0] == 1
    assert points_there(server, over)[0] == 4
    assert sync(source, server, full=True).exit_code == 0
    assert points_there(server, over)[0] == 1


def test_a_copy_reads_everything(source, followed):
    server = followed
    over = run_of(source, "f FINISHED")
    source.client().log_metric(over, "a", 7.0, timestamp=1, step=1)
    assert mlporter.copy(source.address, server.address).exit_code == 0
    assert points_there(server, over)[0] == 1


def test_what_became_of_a_copy_is_seen(source, in_step, asked):
    """Somebody was in the target's database."""
    server = in_step
    run = run_of(source, "e FINISHED")
    copy = server.copy_of(run).info.run_id
    for table in ("metrics", "latest_metrics"):
        change(server, f"DELETE FROM {table} WHERE run_uuid = ? AND key = 'b'", copy)
    asked.clear()
    assert sync(source, server).exit_code == 0
    assert histories(asked) == {run, copy}
    assert points_there(server, run, "b") == [9]


def test_runs_of_a_part_and_of_the_rest_are_both_known(source, in_step, asked):
    server = in_step
    assert sync(source, server, selection=mlporter.Selection(experiments=("e",))).rows == 0
    asked.clear()
    assert sync(source, server).rows == 0
    assert histories(asked) == set()


@contextmanager
def unreadable(monkeypatch, run):
    """Refuse the points of a metric of a run, as no server does when it is asked to."""
    really = History.read

    def refused(self, key, runs):
        if key == "a" and run in runs:
            raise ApiError("cannot be read", status=400, subject="a server")
        return really(self, key, runs)

    with monkeypatch.context() as patched:
        patched.setattr(History, "read", refused)
        yield


def test_a_run_whose_points_could_not_be_read_is_not_taken_for_unchanged(
    source, server, monkeypatch
):
    finish(source)
    run = run_of(source, "e FINISHED")
    with unreadable(monkeypatch, run):
        assert sync(source, server).exit_code == 3
        assert sync(source, server).exit_code == 3
    assert sync(source, server).exit_code == 0
    assert points_there(server, run) == [4, 5, 6, 7, 8, 9]


def test_points_that_cannot_be_read_are_told_of_in_other_places(
    source, mlflow_sqlite, tmp_path, monkeypatch
):
    with unreadable(monkeypatch, run_of(source, "e FINISHED")):
        for target in (tmp_path / "new.db", mlflow_sqlite):
            result = mlporter.copy(source.address, f"sqlite:///{target}", artifacts="none")
            assert result.exit_code == 3
        result = mlporter.export(source.address, str(tmp_path / "bundle"), artifacts="none")
        assert result.exit_code == 3


def test_what_a_model_was_measured_by_is_read_though_the_run_looks_the_same(source, server):
    client = MlflowClient(source.address, source.address)
    run = run_of(source, "f FINISHED")
    experiment = client.get_run(run).info.experiment_id
    model = client.create_logged_model(experiment, name="m", source_run_id=run)
    client.finalize_logged_model(model.model_id, "READY")
    sync(source, server)
    at = {"timestamp": 1, "step": 1, "model_id": model.model_id}
    client.log_metric(run, "a", float("nan"), **at)
    assert sync(source, server).exit_code == 0
    copy = server.copy_of(run).info.run_id
    first = min(server.client().get_metric_history(copy, "a"), key=lambda point: point.step)
    assert (first.step, first.value != first.value) == (1, True)
    assert mlporter.diff(source.address, server.address).identical
