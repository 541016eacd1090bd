"""A registry carried into a server, and again: MLflow's own client on both sides is the judge.

Issues of mlflow-export-import are named by their number (PEERS.md).
"""

from __future__ import annotations

from contextlib import closing

import mlflow
import pytest
from mlflow.entities import Metric, ViewType

import mlporter
from tests.repository.registry import SmallRegistry
from tests.support.copying_s3 import watched_copies
from tests.support.databases import execute, rows
from tests.support.mlflow_session import mlflow_at
from tests.support.next_mlflow import add_rows, make_next
from tests.support.plain_registry import PLAIN_FACTORS
from tests.support.rich_models import EXAMPLE_INPUT
from tests.support.users import add_users


def seen(run):
    """What people see of a run, without ids."""
    info, data = run.info, run.data
    tags = {k: v for k, v in data.tags.items() if not k.startswith("mlporter.")}
    return {
        "name": info.run_name,
        "user": info.user_id,
        "times": (info.start_time, info.end_time),
        "status": info.status,
        "stage": info.lifecycle_stage,
        "params": data.params,
        "metrics": data.metrics,
        "tags": tags,
    }


def test_a_registry_arrives_whole_and_the_second_time_nothing_changes(plain_sqlite, server, writes):
    """Users, times, parameters, metrics (#72 #238 #59), and no duplicates (#178)."""
    first = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert first.exit_code == 0
    assert first.left_out.unexpected == 0
    with mlflow_at(plain_sqlite.tracking_uri):
        before = {run_id: seen(mlflow.get_run(run_id)) for run_id in plain_sqlite.run_ids}
    assert {run_id: seen(server.copy_of(run_id)) for run_id in plain_sqlite.run_ids} == before
    there = server.rows("SELECT count(*) FROM runs")

    writes.clear()
    second = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert (second.exit_code, second.rows, second.files.stored_files) == (0, 0, 0)
    assert writes == []
    assert server.rows("SELECT count(*) FROM runs") == there
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address).identical


def test_files_of_one_bucket_go_to_another_by_the_storage_itself(
    server, s3, mlflow_sqlite_template, tmp_path
):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    bucket, run = s3.new_bucket(), "a" * 32
    made.add_run(run, 1)
    made.sql("UPDATE experiments SET artifact_location = ?", bucket)
    made.sql("UPDATE runs SET artifact_uri = ?", f"{bucket}/{run}/artifacts")
    there = s3.new_bucket()
    server.client().create_experiment("churn", f"{there}/here")
    with closing(s3.client()) as client, watched_copies() as copies:
        name = bucket.removeprefix("s3://")
        client.put_object(Bucket=name, Key=f"{run}/artifacts/a.bin", Body=b"the bytes")
        result = mlporter.copy(made.url, server.address)
        assert (result.exit_code, result.files.by_storage, copies.read) == (0, 1, [])
        name = there.removeprefix("s3://")
        (found,) = client.list_objects_v2(Bucket=name)["Contents"]
        body = client.get_object(Bucket=name, Key=found["Key"])["Body"].read()
    assert body == b"the bytes"
    again = mlporter.copy(made.url, server.address)
    assert again.files.stored_files == 0


def test_what_only_a_newer_mlflow_has_is_named(plain_sqlite, server):
    make_next(plain_sqlite.tracking_uri)
    add_rows(plain_sqlite.tracking_uri)
    execute(plain_sqlite.tracking_uri, "UPDATE runs SET name = 'short'")
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert result.exit_code == 3
    named = {(i.kind, i.id, i.path) for i in result.left_out.first if not i.expected}
    assert named == {
        ("table", "reviews", ""),
        ("table", "review_comments", ""),
        ("column", "runs", "team"),
        ("column", "experiments", "visibility"),
    }
    copied = server.rows("SELECT count(*) FROM runs")
    assert copied == rows(plain_sqlite.tracking_uri, "SELECT count(*) FROM runs")


def test_users_stay_behind_and_are_named(plain_sqlite, server):
    pytest.importorskip("flask_wtf", reason="MLflow's authentication needs mlflow[auth]")
    url = plain_sqlite.tracking_uri
    add_users(url, "admin", "bob")
    for words in ({"dry_run": True}, {}, {"include_secrets": True}):
        result = mlporter.copy(url, server.address, artifacts="none", **words)
        named = {(i.id, i.reason) for i in result.left_out.first if not i.expected}
        assert ("users", "unsupported") in named
        assert result.exit_code == 3
    report = mlporter.diff(url, server.address, artifacts="none")
    assert report.identical
    assert [said for said in report.ignored if "Users and permissions" in said]


def test_models_predict_the_same_by_every_uri(copied, server):
    """Proxied artifacts (#53); several logged models of one run, each version its own (#177)."""
    name, client = copied.model_name, server.client()
    versions = {int(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    uris = {f"models:/{name}/{number}": factor for number, factor in PLAIN_FACTORS.items()}
    uris |= {versions[number].source: factor for number, factor in PLAIN_FACTORS.items()}
    uris |= {f"models:/{name}@champion": 2.0, f"models:/{name}/Production": 2.0}
    run = server.copy_of(copied.model_run_id)
    assert {version.run_id for version in versions.values()} == {run.info.run_id}
    with mlflow_at(server.address):
        found = {uri: list(mlflow.pyfunc.load_model(uri).predict(EXAMPLE_INPUT)) for uri in uris}
        ids = {
            number: mlflow.models.get_model_info(version.source)
            for number, version in versions.items()
        }
    assert found == {uri: [factor * x for x in EXAMPLE_INPUT] for uri, factor in uris.items()}
    for number, version in versions.items():
        assert ids[number].model_id == version.source.removeprefix("models:/")
        assert ids[number].run_id == run.info.run_id


def test_what_is_new_since_then_is_brought_over(copied, server):
    """A half-transferred run (#205): one that was running the first time, new points, runs."""
    plain_sqlite, client = copied, copied.client()
    running = client.create_run(plain_sqlite.experiment_id, run_name="long").info.run_id
    client.log_metric(running, "loss", 1.0, timestamp=1, step=0)
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address).exit_code == 0
    assert server.copy_of(running).info.status == "RUNNING"

    client.log_batch(running, [Metric("loss", 1.0 / n, n, n) for n in range(1, 1200)])
    client.log_param(running, "late", "1")
    client.set_tag(running, "mlflow.note.content", "done 🦆")
    client.log_text(running, "the end", "end.txt")
    client.set_terminated(running, "FAILED", end_time=99)
    new = client.create_run(plain_sqlite.experiment_id, run_name="new").info.run_id
    client.set_model_version_tag(plain_sqlite.model_name, "1", "reviewed", "yes")
    client.transition_model_version_stage(plain_sqlite.model_name, "3", "Staging")
    client.set_registered_model_alias(plain_sqlite.model_name, "champion", "3")

    with pytest.raises(mlporter.ConflictError):
        mlporter.copy(plain_sqlite.tracking_uri, server.address)
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, on_conflict="update")
    assert result.exit_code == 0
    copy = server.copy_of(running)
    assert seen(copy) == seen(client.get_run(running))
    assert len(server.client().get_metric_history(copy.info.run_id, "loss")) == 1200
    assert seen(server.copy_of(new)) == seen(client.get_run(new))
    there = server.client()
    assert there.get_model_version(plain_sqlite.model_name, "1").tags["reviewed"] == "yes"
    assert there.get_model_version(plain_sqlite.model_name, "3").current_stage == "Staging"
    assert there.get_model_version_by_alias(plain_sqlite.model_name, "champion").version == "3"
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address).identical


def test_numbers_of_versions_are_kept_with_gaps(plain_sqlite, server):
    """#183, A #21, A #41: v2, v3 became v1, v2, and an alias pointed at the wrong one."""
    client, name = plain_sqlite.client(), plain_sqlite.model_name
    client.delete_model_version(name, "1")
    client.delete_model_version(name, "2")
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address).exit_code == 0
    (version,) = server.client().search_model_versions(f"name = '{name}'")
    assert version.version == "3"
    assert server.client().create_model_version(name, "s3://b/x").version == "4"


def test_deleted_runs_and_experiments_and_parents_arrive(plain_sqlite, server):
    """Deleted ones; nested runs whose parents were dangling (#134 #191 #197); run ids (#163)."""
    client = plain_sqlite.client()
    parent, child = plain_sqlite.run_ids[:2]
    client.set_tag(child, "mlflow.parentRunId", parent)
    client.delete_run(parent)
    gone = client.create_experiment("gone", artifact_location="/nowhere")
    inside = client.create_run(gone).info.run_id
    client.delete_experiment(gone)
    words = {"artifacts": "none"}
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address, **words).exit_code == 0
    new = server.copy_of(parent).info
    assert new.lifecycle_stage == "deleted"
    assert server.copy_of(child).data.tags["mlflow.parentRunId"] == new.run_id
    assert server.copy_of(inside).info.lifecycle_stage == "deleted"
    (experiment,) = server.client().search_experiments(ViewType.DELETED_ONLY)
    assert experiment.name == "gone"
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address, **words).identical
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
    assert (again.exit_code, again.rows) == (0, 0)


def test_more_than_a_request_takes_arrives(plain_sqlite, server):
    """More than 100 parameters (A #41), more than 100 tags, more than 1,000 points of a step."""
    client, run = plain_sqlite.client(), plain_sqlite.run_ids[0]
    for at in range(0, 150, 50):
        some = range(at, at + 50)
        client.log_batch(run, params=[mlflow.entities.Param(f"p{n}", str(n)) for n in some])
        client.log_batch(run, tags=[mlflow.entities.RunTag(f"t{n}", str(n)) for n in some])
    for at in (0, 600):
        client.log_batch(run, [Metric("m", float(n), n, 0) for n in range(at, at + 600)])
    words = {"artifacts": "none"}
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address, **words).exit_code == 0
    assert seen(server.copy_of(run)) == seen(client.get_run(run))
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address, **words).identical


def test_a_parameter_that_would_be_cut_is_listed(plain_sqlite, server):
    """Silent loss (#250 #240 #165 #42): a server cuts it at 6,000 characters and says nothing."""
    run = plain_sqlite.run_ids[0]
    with mlflow_at(plain_sqlite.tracking_uri):
        from tests.support.databases import execute  # noqa: PLC0415

        values = f"'{run}', 'prompt', '{'x' * 7000}'"
        execute(
            plain_sqlite.tracking_uri,
            f"INSERT INTO params (run_uuid, key, value) VALUES ({values})",
        )
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert result.exit_code == 3
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert (left.id, left.path, left.reason) == (run, "params/prompt", "too-long")
    assert "prompt" not in server.copy_of(run).data.params


def test_a_plan_writes_nothing(plain_sqlite, server, writes):
    before = server.rows("SELECT * FROM experiments")
    plan = mlporter.copy(plain_sqlite.tracking_uri, server.address, dry_run=True)
    assert writes == []
    assert server.rows("SELECT * FROM experiments") == before
    done = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert {t.table: t.copied for t in plan.tables} == {t.table: t.copied for t in done.tables}
    assert plan.files.files == done.files.files


def test_a_deleted_experiment_that_holds_the_name_is_refused(plain_sqlite, server, writes):
    client = server.client()
    client.delete_experiment(client.create_experiment(plain_sqlite.experiment_name))
    with pytest.raises(mlporter.MlporterError, match="marked as deleted") as refused:
        mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert refused.value.exit_code == 4
    assert writes == []
    result = mlporter.copy(
        plain_sqlite.tracking_uri, server.address, rename=[f"{plain_sqlite.experiment_name}=other"]
    )
    assert result.exit_code == 0
    assert client.get_experiment_by_name("other") is not None


def test_an_experiment_that_is_deleted_only_there_is_restored_if_asked_for(copied, server):
    plain_sqlite, client = copied, server.client()
    there = client.get_experiment_by_name(plain_sqlite.experiment_name).experiment_id
    client.delete_experiment(there)
    planned = mlporter.copy(plain_sqlite.tracking_uri, server.address, undelete=True, dry_run=True)
    assert client.get_experiment(there).lifecycle_stage == "deleted"
    done = mlporter.copy(plain_sqlite.tracking_uri, server.address, undelete=True)
    assert done.exit_code == 0
    assert done.tables == planned.tables
    assert client.get_experiment(there).lifecycle_stage == "active"
    stages = "SELECT DISTINCT lifecycle_stage FROM runs"
    assert server.rows(stages) == rows(plain_sqlite.tracking_uri, stages)
    again = mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert sum(table.copied for table in again.tables) == 0


def test_a_model_of_somebody_else_is_refused_left_out_or_renamed(plain_sqlite, server, writes):
    client, name = server.client(), plain_sqlite.model_name
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/other")
    with pytest.raises(mlporter.MlporterError, match="a different version 1") as refused:
        mlporter.copy(plain_sqlite.tracking_uri, server.address)
    assert refused.value.exit_code == 4
    assert writes == []
    skipped = mlporter.copy(plain_sqlite.tracking_uri, server.address, on_conflict="skip")
    assert skipped.exit_code == 3
    assert client.get_model_version(name, "1").source == "s3://bucket/other"
    renamed = mlporter.copy(plain_sqlite.tracking_uri, server.address, on_conflict="rename")
    assert renamed.exit_code == 0
    assert len(client.search_model_versions(f"name = '{name}-imported'")) == 3


@pytest.mark.parametrize("on_conflict", ["fail", "skip", "rename"])
def test_a_prompt_of_somebody_else_keeps_its_text(on_conflict, mlflow_sqlite, server):
    """Prompts of one name share a placeholder as source: their text is in a tag."""
    source = f"sqlite:///{mlflow_sqlite}"
    with mlflow_at(source):
        mlflow.genai.register_prompt("greeting", "Hello {{name}}, from dev")
    with mlflow_at(server.address):
        mlflow.genai.register_prompt("greeting", "Good day {{name}}, from prod")
    if on_conflict == "fail":
        with pytest.raises(mlporter.ConflictError, match="a different version 1"):
            mlporter.copy(source, server.address)
    else:
        result = mlporter.copy(source, server.address, on_conflict=on_conflict)
        assert result.exit_code == (3 if on_conflict == "skip" else 0)
    with mlflow_at(server.address):
        assert "from prod" in mlflow.genai.load_prompt("prompts:/greeting/1").template


@pytest.mark.parametrize("what", ["tag", "stage", "description", "model tag"])
def test_a_version_without_our_mark_that_is_not_the_same_in_all_is_a_conflict(
    what, mlflow_sqlite, server, writes
):
    source = f"sqlite:///{mlflow_sqlite}"
    clients = (mlflow.MlflowClient(source), server.client())
    for client in clients:
        client.create_registered_model("clf", tags={"team": "a"})
        client.create_model_version("clf", "s3://bucket/model", tags={"kind": "first"})
    there = clients[1]
    if what == "tag":
        there.set_model_version_tag("clf", "1", "kind", "recalled")
    elif what == "stage":
        there.transition_model_version_stage("clf", "1", "Production")
    elif what == "description":
        there.update_model_version("clf", "1", "recalled")
    else:
        there.set_registered_model_tag("clf", "team", "b")
    writes.clear()
    with pytest.raises(mlporter.ConflictError):
        mlporter.copy(source, server.address)
    assert writes == []


def test_one_that_is_denied_is_one_entry_and_the_rest_arrives(plain_sqlite, server, monkeypatch):
    """HTTP 403 on a write: of one run, and of one model."""
    from mlporter.stores.rest.answers import DeniedError  # noqa: PLC0415 -- of this test only
    from mlporter.stores.rest.client import Client  # noqa: PLC0415

    really, sent = Client._json, []
    name = plain_sqlite.client().get_run(plain_sqlite.run_ids[0]).info.run_name

    def denying(self, method, path, *, body=None, **options):
        if path.endswith("runs/create"):
            sent.append(body["run_name"])
        if path.endswith("registered-models/create") or (
            path.endswith("runs/create") and body["run_name"] == name
        ):
            raise DeniedError("HTTP 403: Permission denied", subject=path)
        return really(self, method, path, body=body, **options)

    monkeypatch.setattr(Client, "_json", denying)
    words = {"artifacts": "none"}
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, **words)
    assert result.exit_code == 3
    denied = {(i.kind, i.id) for i in result.left_out.first if i.reason == "denied"}
    assert ("runs", plain_sqlite.run_ids[0]) in denied
    assert ("registered_models", plain_sqlite.model_name) in denied
    assert sent.count(name) == 1
    monkeypatch.setattr(Client, "_json", really)
    for run in plain_sqlite.run_ids[1:]:
        assert seen(server.copy_of(run)) == seen(plain_sqlite.client().get_run(run))
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address, **words).exit_code == 0
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address, **words).identical


def test_an_experiment_that_was_renamed_at_the_source_is_not_copied_anew(
    copied, mlflow_sqlite, server
):
    source, there = copied.tracking_uri, server.rows("SELECT count(*) FROM runs")
    client, words = copied.client(), {"artifacts": "none"}
    client.rename_experiment(copied.experiment_id, "renamed at the source")
    with pytest.raises(mlporter.errors.ConflictError):
        mlporter.copy(source, server.address, **words)
    again = mlporter.copy(source, server.address, **words, on_conflict="rename")
    assert (again.exit_code, again.rows) == (0, 0)
    assert server.rows("SELECT count(*) FROM runs") == there
    assert [(r.old, r.new) for r in again.renamed] == [
        ("renamed at the source", copied.experiment_name)
    ]
    # Two exchange their names.
    other_id = client.create_experiment("the other")
    client.create_run(other_id, run_name="of the other")
    moved = mlporter.copy(source, server.address, **words, on_conflict="update")
    assert moved.actions.total("move") == 1
    client.rename_experiment(other_id, "aside")
    client.rename_experiment(copied.experiment_id, "the other")
    client.rename_experiment(other_id, "renamed at the source")
    mlporter.copy(source, server.address, **words, on_conflict="update")
    for experiment in (copied.experiment_id, other_id):
        name = client.get_experiment(experiment).name
        runs = client.search_runs([experiment])
        home = server.client().get_experiment_by_name(name).experiment_id
        assert {server.copy_of(run.info.run_id).info.experiment_id for run in runs} == {home}
    there = server.rows("SELECT count(*) FROM runs")
    # The same number of another source is another experiment.
    other = mlflow.MlflowClient(f"sqlite:///{mlflow_sqlite}")
    while other.create_experiment(f"other {len(other.search_experiments())}") != str(
        copied.experiment_id
    ):
        pass
    other.create_run(copied.experiment_id, run_name="of another source")
    other_source = f"sqlite:///{mlflow_sqlite}"
    assert mlporter.copy(other_source, server.address, **words).exit_code == 0
    assert server.rows("SELECT count(*) FROM runs") != there


def test_an_experiment_is_selected_by_its_id_too(plain_sqlite, server):
    chosen = {"experiments": plain_sqlite.experiment_id}
    source = plain_sqlite.tracking_uri
    assert mlporter.copy(source, server.address, selection=chosen).exit_code == 0
    assert server.client().get_experiment_by_name(plain_sqlite.experiment_name) is not None
    report = mlporter.diff(source, server.address, selection=chosen)
    assert report.identical
    assert plain_sqlite.experiment_name in " ".join(report.ignored)
    with pytest.raises(mlporter.RefusedError):
        mlporter.copy(source, server.address, selection={"experiments": "987654"})
