"""A server that follows a source: what changed follows, and what people do there stays."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import ViewType

import mlporter
from mlporter.stores.server.target_places import ServerPlaces
from tests.conftest import forget_artifact_places
from tests.support.databases import dump
from tests.support.examples import examples
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.rich_registry import copy_with_artifacts
from tests.verbs.histories import experiments, histories, live, registry

_COUNT = itertools.count()


def sync(plain_sqlite, server, **options):
    return mlporter.sync(plain_sqlite.tracking_uri, server.address, artifacts="none", **options)


@pytest.fixture(scope="module")
def a_place(tmp_path_factory):
    """Where the registry is that is in step: it is known by its address."""
    return tmp_path_factory.mktemp("in step") / "plain"


@pytest.fixture
def in_step(plain_sqlite_template, a_place, server, beginnings):
    """The plain registry; the server has followed it once."""

    def first():
        moved = copy_with_artifacts(plain_sqlite_template, a_place)
        assert sync(moved, server).exit_code == 0

    forget_artifact_places()
    beginnings.begin("in step", first, server, folders=[a_place])
    url = sqlite_url(a_place / "mlflow.db")
    root = str(a_place / "artifacts")
    return dataclasses.replace(plain_sqlite_template, tracking_uri=url, artifact_root=root)


def done(result, *kinds):
    """What was done, and to what."""
    return [
        (one.unit, change.field)
        for one in result.actions.first
        if one.kind.value in kinds
        for change in one.changes
    ]


def test_what_changed_at_the_source_follows(in_step, server):
    plain_sqlite = in_step
    client, name, run = plain_sqlite.client(), plain_sqlite.model_name, plain_sqlite.run_ids[0]
    client.set_tag(run, "team", "other")
    client.update_run(run, name="another name")
    client.update_model_version(name, "2", description="better")
    client.transition_model_version_stage(name, "2", "Production")
    client.set_registered_model_alias(name, "champion", "1")
    client.update_registered_model(name, description="described")
    client.rename_experiment(plain_sqlite.experiment_id, "renamed")

    plan = sync(plain_sqlite, server, dry_run=True)
    result = sync(plain_sqlite, server)

    assert result.exit_code == 0
    assert plan.actions.digest == result.actions.digest
    there = server.client()
    copy = server.copy_of(run)
    assert (copy.data.tags["team"], copy.info.run_name) == ("other", "another name")
    version = there.get_model_version(name, "2")
    assert (version.description, version.current_stage) == ("better", "Production")
    assert there.get_model_version_by_alias(name, "champion").version == "1"
    assert there.get_registered_model(name).description == "described"
    assert there.get_experiment_by_name("renamed") is not None
    moved = done(result, "move")
    assert ("experiments", "name") in moved
    assert ("registered_model_aliases", "version") in moved
    again = sync(plain_sqlite, server)
    assert (again.rows, again.actions.total("create", "update", "move", "delete")) == (0, 0)
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address, artifacts="none").identical


def test_what_people_did_on_the_server_stays_and_is_told(in_step, server):
    plain_sqlite = in_step
    name, run = plain_sqlite.model_name, plain_sqlite.run_ids[0]
    there, copy = server.client(), server.copy_of(run).info.run_id
    there.set_registered_model_alias(name, "champion", "1")
    there.update_model_version(name, "2", description="recalled")
    there.set_tag(copy, "team", "prod")
    there.delete_run(server.copy_of(plain_sqlite.run_ids[1]).info.run_id)
    there.delete_model_version(name, "3")
    last = server.copy_of(run).data.metrics
    metric = min(last)
    there.log_metric(copy, metric, 77.0, step=10_000)
    plain_sqlite.client().log_metric(run, "of the source", 1.0)

    result = sync(plain_sqlite, server)

    assert result.exit_code == 0
    kept = done(result, "keep")
    assert server.copy_of(run).data.metrics == {**last, metric: 77.0, "of the source": 1.0}
    assert ("registered_model_aliases", "version") in kept
    assert ("model_versions", "description") in kept
    assert ("runs", "lifecycle_stage") in kept
    assert there.get_model_version_by_alias(name, "champion").version == "1"
    assert there.get_model_version(name, "2").description == "recalled"
    assert there.get_run(copy).data.tags["team"] == "prod"
    assert [v.version for v in there.search_model_versions(f"name = '{name}'")] == ["2", "1"]
    # A plain copy is refused for it, and `ours` puts it back.
    with pytest.raises(mlporter.ConflictError, match="edited at the target"):
        mlporter.copy(plain_sqlite.tracking_uri, server.address, artifacts="none")
    sync(plain_sqlite, server, prefer="ours")
    assert there.get_model_version(name, "2").description != "recalled"
    assert there.get_run(copy).data.tags.get("team") != "prod"


def test_what_both_changed_is_a_conflict_and_the_rest_goes_on(in_step, server):
    plain_sqlite = in_step
    client, run, other = plain_sqlite.client(), *plain_sqlite.run_ids[:2]
    copy = server.copy_of(run).info.run_id
    client.set_tag(run, "team", "here")
    client.set_tag(other, "more", "1")
    server.client().set_tag(copy, "team", "there")

    result = sync(plain_sqlite, server)

    assert result.exit_code == 3
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert (left.kind, left.id, left.reason) == ("runs", run, "conflict")
    assert server.client().get_run(copy).data.tags["team"] == "there"
    assert server.copy_of(other).data.tags["more"] == "1"
    assert sync(plain_sqlite, server, prefer="theirs").exit_code == 0
    sync(plain_sqlite, server, prefer="ours")
    assert server.client().get_run(copy).data.tags["team"] == "here"


def test_an_experiment_in_the_trash_of_the_server_is_a_conflict_that_says_the_way_out(
    in_step, server
):
    plain_sqlite = in_step
    there = server.client()
    number = there.get_experiment_by_name(plain_sqlite.experiment_name).experiment_id
    stages = "SELECT run_uuid, lifecycle_stage FROM runs ORDER BY run_uuid"
    before = server.rows(stages)
    there.delete_experiment(number)

    result = sync(plain_sqlite, server)
    assert result.exit_code == 3
    (left,) = [item for item in result.left_out.first if not item.expected]
    assert (left.kind, left.id, left.reason) == (
        "experiments", plain_sqlite.experiment_name, "conflict",
    )  # fmt: skip
    assert f"mlflow experiments restore --experiment-id {number}" in left.detail
    assert "--ours" in left.detail
    assert there.get_experiment(number).lifecycle_stage == "deleted"

    plan = sync(plain_sqlite, server, prefer="ours", dry_run=True)
    done = sync(plain_sqlite, server, prefer="ours")
    assert (done.exit_code, done.actions, done.tables) == (0, plan.actions, plan.tables)
    assert there.get_experiment(number).lifecycle_stage == "active"
    assert server.rows(stages) == before
    assert sync(plain_sqlite, server).rows == 0


def test_deleting_needs_to_be_asked_for_and_goes_as_mlflow_deletes(in_step, server):
    plain_sqlite = in_step
    client, name, run = plain_sqlite.client(), plain_sqlite.model_name, plain_sqlite.run_ids[0]
    client.delete_tag(run, "team")
    # The only ones: of these tables the source has nothing any more.
    client.delete_registered_model_alias(name, "champion")
    client.delete_registered_model_tag(name, "team")
    client.delete_model_version(name, "3")

    kept = sync(plain_sqlite, server)
    assert kept.exit_code == 0
    there = server.client()
    assert there.get_model_version(name, "3").version == "3"
    assert "champion" in there.get_registered_model(name).aliases
    assert "team" not in server.copy_of(run).data.tags  # a tag is a part of its run
    assert there.get_registered_model(name).tags.keys().isdisjoint({"team"})

    result = sync(plain_sqlite, server, delete=True)
    assert result.exit_code == 0
    assert result.actions.total("delete") == 2
    assert [v.version for v in there.search_model_versions(f"name = '{name}'")] == ["2", "1"]
    assert "champion" not in there.get_registered_model(name).aliases
    assert sync(plain_sqlite, server, delete=True).actions.total("delete") == 0


def test_a_version_without_a_run_is_carried_from_server_to_server(server, tmp_path):
    """A server says of it that its run is the one without an id."""
    client = server.client()
    client.create_registered_model("bare")
    client.create_model_version("bare", "s3://bucket/model")
    target = sqlite_url(tmp_path / "target.db")
    result = mlporter.copy(server.address, target, selection={"models": ["bare"]}, artifacts="none")
    assert [item for item in result.left_out.first if not item.expected] == []


def test_a_plan_is_carried_out_as_it_is_or_refused(in_step, server, tmp_path):
    plain_sqlite = in_step
    client, run = plain_sqlite.client(), plain_sqlite.run_ids[0]
    client.set_tag(run, "planned", "1")
    file = str(tmp_path / "plan.json")
    plan = sync(plain_sqlite, server, plan_out=file)
    assert plan.dry_run
    client.set_tag(run, "later", "1")
    with pytest.raises(mlporter.RefusedError, match="changed since"):
        mlporter.apply(file)
    assert "planned" not in server.copy_of(run).data.tags
    sync(plain_sqlite, server, plan_out=file)
    assert mlporter.apply(file).actions.total("update") == 2
    assert server.copy_of(run).data.tags["later"] == "1"


def text_of(client, run, path):
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run, path, folder)).read_text(encoding="utf-8")


def files_of(result, run):
    """What is told of files of a run."""
    return {
        (one.kind.value, change.field)
        for one in result.actions.first
        for change in one.changes
        if (one.unit, one.id) == ("runs", run) and change.field.startswith("artifacts.")
    }


def test_files_of_runs_that_went_on_follow_and_edited_ones_stay(plain_sqlite, server, tmp_path):
    client, run = plain_sqlite.client(), plain_sqlite.run_ids[0]
    options = {"state": tmp_path / "state", "selection": mlporter.Selection(runs=(run,))}
    for name in ("changed.txt", "edited.txt", "both.txt"):
        client.log_text(run, "as sent", name)
    address = plain_sqlite.tracking_uri
    assert mlporter.sync(address, server.address, **options).exit_code == 0
    copy, there = server.copy_of(run).info.run_id, server.client()
    client.set_tag(run, "went", "on")
    client.log_text(run, "a new file", "new.txt")
    client.log_text(run, "of the same size"[:7], "changed.txt")
    client.log_text(run, "changed here", "both.txt")
    there.log_text(copy, "edited there", "edited.txt")
    there.log_text(copy, "changed there, too", "both.txt")

    plan = mlporter.sync(address, server.address, dry_run=True, **options)
    result = mlporter.sync(address, server.address, **options)

    assert result.exit_code == 3
    assert plan.actions.digest == result.actions.digest
    assert plan.files.stored_files == result.files.stored_files == 2
    said = {(item.path, item.reason, item.expected) for item in result.left_out.first if item.path}
    assert said == {("both.txt", "conflict", False)}
    assert files_of(result, run) == {
        ("update", "artifacts.new.txt"),
        ("update", "artifacts.changed.txt"),
        ("keep", "artifacts.edited.txt"),
        ("conflict", "artifacts.both.txt"),
    }
    assert text_of(there, copy, "new.txt") == "a new file"
    assert text_of(there, copy, "changed.txt") == "of the "
    assert text_of(there, copy, "edited.txt") == "edited there"
    assert text_of(there, copy, "both.txt") == "changed there, too"
    again = mlporter.sync(address, server.address, **options)  # what stays is told again
    assert (again.rows, again.files.stored_files, again.exit_code) == (0, 0, 3)
    mlporter.sync(address, server.address, prefer="ours", **options)
    assert text_of(there, copy, "both.txt") == "changed here"
    assert text_of(there, copy, "edited.txt") == "as sent"


def test_what_did_not_change_is_not_looked_at(plain_sqlite, server, tmp_path, monkeypatch):
    one = mlporter.Selection(runs=plain_sqlite.run_ids[:1])
    options = {"state": tmp_path / "state", "selection": one}
    address = plain_sqlite.tracking_uri
    mlporter.sync(address, server.address, **options)
    asked = []
    really = ServerPlaces.sizes
    monkeypatch.setattr(
        ServerPlaces, "sizes", lambda self, root: asked.append(root) or really(self, root)
    )
    assert mlporter.sync(address, server.address, **options).rows == 0
    assert asked == []
    assert mlporter.sync(address, server.address, full=True, **options).rows == 0
    assert asked


def facts(client):
    """What people see of a registry, and can change: by what it is of."""
    found = {}
    for one in client.search_experiments(view_type=ViewType.ALL):
        found["experiment", one.experiment_id, "name"] = one.name
        found["experiment", one.experiment_id, "stage"] = one.lifecycle_stage
    for run in client.search_runs(experiments(client), run_view_type=ViewType.ALL):
        found["run", run.info.run_id, "name"] = run.info.run_name
        found["run", run.info.run_id, "stage"] = run.info.lifecycle_stage
        for key, value in run.data.tags.items():
            if not key.startswith(("mlporter.", "mlflow.")):
                found["tag", run.info.run_id, key] = value
        for key, value in run.data.metrics.items():
            found["metric", run.info.run_id, key] = value
    for model in client.search_registered_models():
        found["model", model.name] = model.description
        for alias, version in model.aliases.items():
            found["alias", model.name, alias] = version
    for version in client.search_model_versions():
        key = ("version", version.name, version.version)
        found[(*key, "description")] = version.description
        found[(*key, "stage")] = version.current_stage
    return found


def changed(before, after):
    """What people changed, and what it is now; what they deleted is None."""
    keys = before.keys() | after.keys()
    return {key: after.get(key) for key in keys if before.get(key) != after.get(key)}


def killed_after(steps):
    """Progress that is interrupted after so many steps."""
    told = itertools.count(1)

    def tell(step, done, total, unit="rows"):
        if next(told) >= steps:
            raise KeyboardInterrupt

    return tell


def is_held(key, value, own):
    """Whether something stays as people left it: not where they made room for the source's."""
    is_deleted = value is None
    return not (is_deleted and (key in own or ("model", key[1]) in own))


@pytest.mark.timeout(3600)
@settings(
    max_examples=examples(2),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # minutes are a lot for a smaller example
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    first=histories,
    rounds=st.lists(
        st.tuples(histories, histories, st.booleans(), st.none() | st.integers(1, 40)),
        min_size=1,
        max_size=2,
    ),
)
def test_whatever_people_do_on_both_sides(mlflow_sqlite_template, tmp_path, server, first, rounds):
    folder = tmp_path / str(next(_COUNT))
    folder.mkdir()
    server.reset()
    source = registry(mlflow_sqlite_template, folder, first)
    there = server.client()
    options = {"artifacts": "none", "state": folder / "state"}
    mlporter.sync(source, server.address, **options)
    own = set()
    for here, edits, deletes, kill in rounds:
        with mlflow_at(source):
            live(MlflowClient(source, source), here)
        before = facts(there)
        with mlflow_at(server.address):
            live(MlflowClient(server.address, server.address), edits)
        people = changed(before, facts(there))
        wishes = {**options, "delete": deletes, "max_delete": 1000}
        if kill is not None:
            with contextlib.suppress(KeyboardInterrupt):
                mlporter.sync(source, server.address, on_progress=killed_after(kill), **wishes)
        state = dump(sqlite_url(server.database))
        plan = mlporter.sync(source, server.address, dry_run=True, **wishes)
        assert dump(sqlite_url(server.database)) == state

        result = mlporter.sync(source, server.address, **wishes)

        assert result.actions == plan.actions
        assert result.tables == plan.tables
        after = facts(there)
        own |= {key for key in people if key not in before}
        stays = {key: value for key, value in people.items() if is_held(key, value, own)}
        assert {key: after.get(key) for key in stays} == stays
        again = mlporter.sync(source, server.address, **wishes)
        assert again.actions.total("create", "update", "move", "delete") == 0
        assert again.rows == 0
        assert facts(there) == after
