"""Two servers that answer as they did: a sync plans nothing, and overlooks nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlflow.entities import Metric

import mlporter
from mlporter.stores.rest.client import Client
from mlporter.stores.server.reading.fetching import Fetcher


@pytest.fixture
def source(other_server, beginnings):
    """A server with two runs, of which one has a file, and a model with a version and an alias."""

    def fill():
        client = other_server.client()
        experiment = client.create_experiment("e")
        for name in ("one", "two"):
            run = client.create_run(experiment, run_name=name).info.run_id
            client.log_batch(run, [Metric("a", n / 3, n, n) for n in range(3)])
            client.set_tag(run, "team", "blue")
            client.set_terminated(run)
        client.log_text(run, "text", "model/weights.txt")
        client.create_registered_model("m")
        client.create_model_version("m", f"{client.get_run(run).info.artifact_uri}/model", run)
        client.set_registered_model_alias("m", "champion", "1")

    beginnings.begin("source", fill, other_server)
    return other_server


@pytest.fixture
def in_step(source, server, beginnings):
    """The other server, after a first sync."""
    beginnings.begin("in step", lambda: sync(source, server), server)
    return server


@pytest.fixture
def fetched(monkeypatch):
    """Which tables of servers were needed by a planning."""
    found = []
    really = Fetcher.need

    def recording(self, table, among):
        found.append(table)
        return really(self, table, among)

    monkeypatch.setattr(Fetcher, "need", recording)
    return found


@pytest.fixture
def sent(monkeypatch):
    """Each request that goes out: server, method, path and what is asked."""
    found = []
    really = Client._answer

    def recording(self, method, path, **options):
        asked = options.get("params") or options.get("json") or ""
        found.append((self.subject, method, path, str(asked)))
        return really(self, method, path, **options)

    monkeypatch.setattr(Client, "_answer", recording)
    return found


def sync(source, server, **options):
    return mlporter.sync(source.address, server.address, **options)


def one_run(server):
    """The first run of a server, by its name."""
    client = server.client()
    ids = [one.experiment_id for one in client.search_experiments()]
    return client.search_runs(ids, "attributes.run_name = 'one'")[0].info.run_id


def test_nothing_is_planned_and_the_result_says_the_same(source, server, fetched, sent):
    assert sync(source, server).exit_code == 0
    fetched.clear()
    quick = sync(source, server)
    assert (fetched, quick.rows, quick.exit_code) == ([], 0, 0)
    # With another state nothing is known of the answers, and all is looked at.
    planned = sync(source, server, workers=3)
    assert "runs" in fetched
    assert replace(quick, seconds=0) == replace(planned, seconds=0)
    fetched.clear()
    sent.clear()
    again = sync(source, server, workers=3, dry_run=True)
    assert (fetched, again.dry_run) == ([], True)
    assert replace(again, seconds=0, dry_run=False, next_command="") == replace(
        planned, seconds=0, next_command=""
    )
    assert len(sent) == len(set(sent))
    paths = [path for _, method, path, _ in sent if method != "OPTIONS"]
    assert not any("get-history" in path or "artifacts" in path for path in paths)


EDITS = {
    "a tag": lambda client, run: client.set_tag(run, "team", "red"),
    "a tag that is removed": lambda client, run: client.delete_tag(run, "team"),
    "a status": lambda client, run: client.set_terminated(run, "FAILED"),
    "a point": lambda client, run: client.log_metric(run, "a", 7.0, timestamp=9, step=9),
    "an alias": lambda client, _: client.set_registered_model_alias("m", "other", "1"),
    "a description": lambda client, _: client.update_model_version("m", "1", "better"),
    "a model's tag": lambda client, _: client.set_registered_model_tag("m", "k", "v"),
    "a stage": lambda client, _: client.transition_model_version_stage("m", "1", "Production"),
    "an experiment's tag": lambda client, run: client.set_experiment_tag(
        client.get_run(run).info.experiment_id, "k", "v"
    ),
    "an experiment's name": lambda client, run: client.rename_experiment(
        client.get_run(run).info.experiment_id, "other"
    ),
    "a deleted run": lambda client, run: client.delete_run(run),
}


def test_every_edit_at_the_source_is_seen(source, in_step):
    """Each is what the next sync does, and nothing else."""
    server = in_step
    for what, edit in EDITS.items():
        edit(source.client(), one_run(source))
        result = sync(source, server)
        done = result.actions.total("create", "update", "move", "delete")
        assert (done, result.rows > 0, result.exit_code) == (1, True, 0), what
    assert sync(source, server).rows == 0
    assert mlporter.diff(source.address, server.address).identical


def test_what_people_did_at_the_target_is_told_each_time(source, in_step, fetched):
    server = in_step
    edits = ("a tag", "a description", "an experiment's name")
    for what in edits:
        EDITS[what](server.client(), one_run(server))
    first = sync(source, server)
    assert first.actions.total("keep") == len(edits)
    fetched.clear()
    second = sync(source, server)
    assert fetched == []
    assert second.actions == first.actions
    assert sync(source, server, prefer="ours").rows >= len(edits)


def test_what_is_running_or_in_conflict_is_looked_at_each_time(source, in_step, fetched):
    server, client = in_step, source.client()
    run = client.create_run(client.get_run(one_run(source)).info.experiment_id).info.run_id
    client.log_metric(run, "b", 1.0, timestamp=5, step=5)
    sync(source, server)
    client.log_metric(run, "b", 1.0, timestamp=1, step=1)  # no search shows it
    assert sync(source, server).rows > 0
    client.set_terminated(run)
    sync(source, server)
    client.set_tag(run, "team", "red")
    server.client().set_tag(server.copy_of(run).info.run_id, "team", "green")
    assert sync(source, server).exit_code == 3
    fetched.clear()
    assert sync(source, server).exit_code == 3
    assert "runs" in fetched


def test_another_wish_is_planned_and_what_was_asked_for_is_not_asked_for_twice(
    source, in_step, fetched, sent
):
    server = in_step
    fetched.clear()
    assert sync(source, server, full=True).rows == 0
    assert "metrics" in fetched
    assert sync(source, server).rows == 0  # `full` remembers no answers
    source.client().set_tag(one_run(source), "team", "red")
    before = sync(source, server, dry_run=True)
    sent.clear()
    assert sync(source, server, dry_run=True).actions == before.actions
    searches = [one for one in sent if one[1] != "OPTIONS" and one[2].endswith("/search")]
    assert len(searches) == len(set(searches))
    assert sync(source, server).rows > 0


def test_what_is_remembered_of_other_transfers_is_not_taken(source, in_step, fetched):
    server = in_step
    source.client().set_tag(one_run(source), "team", "red")
    assert mlporter.copy(source.address, server.address, on_conflict="update").rows > 0
    fetched.clear()
    assert sync(source, server).rows == 0
    assert "runs" in fetched
    fetched.clear()
    assert sync(source, server).rows == 0
    assert fetched == []
