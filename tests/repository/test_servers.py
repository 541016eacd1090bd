"""Backups of a server: of what looks as it did, neither points nor files are asked for again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pyarrow.parquet as pq
import pytest

import mlporter


@pytest.fixture
def listed(monkeypatch):
    """The owners whose files were listed."""
    from mlporter.artifacts import scan  # noqa: PLC0415 -- as below

    owners: list[str] = []
    real = scan._Looker.look

    def noting(looker, owner):
        owners.append(owner.id)
        return real(looker, owner)

    monkeypatch.setattr(scan._Looker, "look", noting)
    return owners


@pytest.fixture
def served(server, tmp_path):
    """An experiment on a server, into which runs that ended long ago are put with files."""
    return Served(server, server.client(), server.client().create_experiment("churn"), tmp_path)


class Served:
    def __init__(self, server, client, experiment, folder):
        self.server, self.client, self.experiment = server, client, experiment
        self.repository, self.folder = folder / "repository", folder

    def add_run(self, end_time=1_600_000_000_000):
        run = self.client.create_run(self.experiment, start_time=1_500_000_000_000).info.run_id
        self.client.log_text(run, f"of {run}", "notes/a.txt")
        if end_time is not None:
            self.client.set_terminated(run, end_time=end_time)
        return run

    def sql(self, statement, *values):
        with closing(sqlite3.connect(self.server.database)) as live, live:
            live.execute(statement, values)

    def backup(self, **options):
        return mlporter.backup(self.server.address, self.repository, **options)

    def files(self, snapshot="latest"):
        with mlporter.open(f"{self.repository}/@{snapshot}") as kept:
            rows = [row for batch in kept.read("artifacts") for row in batch.to_pylist()]
        return {(row["owner_id"], row["path"]): row["sha256"] for row in rows}

    def fresh_files(self):
        mlporter.export(self.server.address, self.folder / "fresh")
        rows = pq.read_table(self.folder / "fresh" / "tables" / "artifacts").to_pylist()
        return {(row["owner_id"], row["path"]): row["sha256"] for row in rows}


def test_only_files_of_owners_that_may_have_others_are_listed(served, listed):
    ended, deleted, changed = (served.add_run() for _ in range(3))
    just_ended, at_work = served.add_run(2_000_000_000_000), served.add_run(None)
    assert served.backup().snapshot.not_listed == 0
    assert set(listed) == {ended, deleted, changed, just_ended, at_work}

    served.client.delete_run(deleted)
    served.client.set_tag(changed, "looked at", "again")
    served.client.log_text(changed, "more", "notes/b.txt")
    served.client.log_text(at_work, "more", "notes/b.txt")
    new = served.add_run()
    del listed[:]
    made = served.backup()
    assert set(listed) == {deleted, changed, just_ended, at_work, new}
    assert made.snapshot.not_listed == 1
    assert any("1 run were not listed" in note for note in made.result.notes)
    assert served.files() == served.fresh_files()  # complete, and in order
    assert mlporter.verify(f"{served.repository}/@latest").check.problems == []

    # From here on each of them was seen at rest; the older snapshots are not needed for it.
    mlporter.forget(served.repository, keep_last=1, prune_unused=True, grace=0.001)
    before = served.files()
    del listed[:]
    assert served.backup().snapshot.not_listed == 4
    assert set(listed) == {just_ended, at_work}
    assert served.files() == before
    assert mlporter.verify(served.repository).check.problems == []


def test_what_is_not_seen_is_said_and_seen_when_asked_for(served):
    run = served.add_run()
    served.backup()
    for number, option in enumerate(("full", "reread"), start=1):
        served.client.log_text(run, "later", f"notes/{number}.txt")
        made = served.backup()
        assert len(served.files()) == number
        assert any("--full or --reread" in note for note in made.result.notes)
        made = served.backup(**{option: True})
        assert len(served.files()) == number + 1
        assert made.snapshot.not_listed == 0
        assert not any("not listed" in note for note in made.result.notes)


def test_logged_models_and_traces_are_known_by_their_own_times(served, listed):
    client, experiment = served.client, served.experiment
    whole, lacking = (client.create_logged_model(experiment, name).model_id for name in "ab")
    (served.folder / "MLmodel").write_text("{}")
    client.log_model_artifact(whole, str(served.folder / "MLmodel"))
    for model in (whole, lacking):  # of the second one it is said that it has no files
        client.finalize_logged_model(model, "READY")
    served.sql("UPDATE logged_models SET last_updated_timestamp_ms = 1500000000000")
    for trace, spans in (("tr-1", "TRACKING_STORE"), ("tr-2", "elsewhere")):
        served.sql(
            "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms,"
            " status, db_payload_generation) VALUES (?, ?, 1500000000000, 5, 'OK', 0)",
            trace,
            experiment,
        )
        place = f"mlflow-artifacts:/{experiment}/traces/{trace}/artifacts"
        tags = {"mlflow.artifactLocation": place, "mlflow.trace.spansLocation": spans}
        for tag in tags.items():
            served.sql("INSERT INTO trace_tags VALUES (?, ?, ?)", *tag, trace)
    (served.server.files / "own").mkdir()
    (served.server.files / "own" / "MLmodel").write_text("{}")
    client.create_registered_model("reg")
    served.sql(
        "INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time,"
        " current_stage, source, status) VALUES ('default', 'reg', 1, 1, 1500000000000, 'None',"
        " 'mlflow-artifacts:/own', 'READY')"
    )
    version = "default/reg/1"
    served.backup()
    assert set(listed) == {whole, lacking, version, "tr-1", "tr-2"}
    del listed[:]
    made = served.backup()
    assert set(listed) == {lacking, "tr-2"}
    named = "1 logged model, 1 model version, 1 trace were not"
    assert any(named in note for note in made.result.notes)
    client.set_trace_tag("tr-1", "seen", "yes")
    client.set_logged_model_tags(whole, {"seen": "yes"})
    client.set_model_version_tag("reg", "1", "seen", "yes")
    del listed[:]
    served.backup()
    assert set(listed) == {whole, lacking, version, "tr-1", "tr-2"}


@pytest.fixture
def asked(monkeypatch):
    """The paths of requests for histories of metrics."""
    from mlporter.stores.rest.client import Client  # noqa: PLC0415 -- for servers only

    paths: list[str] = []
    real = Client._json

    def noting(client, method, path, *rest, **named):
        if "get-history" in path:
            paths.append(path)
        return real(client, method, path, *rest, **named)

    monkeypatch.setattr(Client, "_json", noting)
    return paths


def test_only_runs_that_changed_are_asked_for_their_points(server, tmp_path, asked):
    client = server.client()
    experiment = client.create_experiment("churn")
    runs = []
    for number in range(4):
        run = client.create_run(experiment).info.run_id
        for step in range(3):
            client.log_metric(run, "rmse", 1.0 / (number + step + 1), step=step)
        client.set_terminated(run)
        runs.append(run)
    at_work = client.create_run(experiment).info.run_id
    client.log_metric(at_work, "rmse", 0.5, step=0)

    mlporter.backup(server.address, tmp_path / "r")
    assert len(asked) > 0
    del asked[:]
    client.log_metric(at_work, "rmse", 0.4, step=1)
    client.log_metric(runs[2], "rmse", 0.1, step=7)
    mlporter.backup(server.address, tmp_path / "r")
    assert 0 < len(asked) <= 2

    mlporter.export(server.address, tmp_path / "fresh")
    mlporter.export(f"{tmp_path}/r/@latest", tmp_path / "restored")
    for table in ("runs", "metrics", "tags", "experiments"):
        fresh, restored = (
            pq.read_table(tmp_path / place / "tables" / table).to_pylist()
            for place in ("fresh", "restored")
        )
        assert restored == fresh
    # What the server keeps is what MLflow's client shows.
    history = [(m.step, m.value) for m in client.get_metric_history(runs[2], "rmse")]
    found = pq.read_table(tmp_path / "restored" / "tables" / "metrics").to_pylist()
    assert sorted(history) == sorted(
        (row["step"], row["value"]) for row in found if row["run_uuid"] == runs[2]
    )
