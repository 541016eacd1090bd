"""Fields of a later MLflow: kept in bundles, sent where they are known, named everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import ExitCode
from mlporter.stores.database.schema.scripts import installed_mlflow
from mlporter.stores.server import capabilities
from tests.support.newer_server import newer_server

if TYPE_CHECKING:
    from tests.support.target_server import TargetServer

pytestmark = pytest.mark.timeout(120)

ADDED = {
    "experiment": {"owner": "nobody"},
    "run": {"priority": 0, "labels": []},
    "registered_model": {"tier": None},
    "model_version": {"review": {"state": "open"}},
}
FIELDS = {
    "experiments.owner",
    "runs.info.priority",
    "runs.info.labels",
    "registered_models.tier",
    "model_versions.review",
}

INSIDE = {
    "params": {"unit": None},
    "tags": {"by": "nobody"},
    "metrics": {"unit": None},
    "aliases": {"why": None},
}
INSIDE_FIELDS = {
    "runs.data.params[].unit",
    "runs.data.tags[].by",
    "runs.data.metrics[].unit",
    "metrics.unit",
    "registered_models.aliases[].why",
}


def fill(server: TargetServer, newer) -> None:
    """A run and a model, with what a later MLflow lets people say of them."""
    client = server.client()
    experiment = client.create_experiment("churn")
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "lr", "0.1")
    client.log_metric(run, "loss", 0.5)
    client.set_terminated(run)
    client.create_registered_model("churn", description="who leaves")
    client.create_model_version("churn", f"runs:/{run}/model", run, description="first")
    newer.kept.update(
        {
            ("experiment", experiment, "owner"): "zoë",
            ("run", run, "priority"): 7,
            ("run", run, "labels"): ["a", {"b": None}],
            ("registered_model", "churn", "tier"): "gold",
            ("model_version", "churn", "review"): {"state": "closed", "by": ["x"]},
        }
    )


@pytest.fixture(scope="module")
def bundle(running_server: TargetServer, tmp_path_factory):
    """An export of such a server."""
    folder = tmp_path_factory.mktemp("newer") / "bundle"
    running_server.reset()
    with newer_server(running_server.address, adds=ADDED, version=installed_mlflow()) as newer:
        fill(running_server, newer)
        result = mlporter.export(newer.address, folder)
    assert result.exit_code == ExitCode.OK, result.left_out
    assert all(field in " ".join(result.notes) for field in FIELDS)
    return folder


def named(result: mlporter.Result) -> set[str]:
    return {f"{e.id}.{e.path}" for e in result.left_out.first if e.kind == "field"}


def rows(place) -> dict[tuple[str, str], str]:
    """The fields of a bundle, but for experiment 0, which every server has."""
    with mlporter.open(place) as registry:
        return {
            (row["table"], row["field"]): row["value"]
            for row in registry.read("unknown_fields").read_all().to_pylist()
            if row["key"] != "[0]"
        }


def test_a_bundle_keeps_them_as_they_came(bundle):
    assert mlporter.verify(bundle).exit_code == ExitCode.OK
    (note,) = mlporter.inspect(bundle).notes
    assert all(field in note for field in FIELDS)
    assert rows(bundle) == {
        ("experiments", "owner"): '"zo\\u00eb"',
        ("runs", "info.priority"): "7",
        ("runs", "info.labels"): '["a", {"b": null}]',
        ("registered_models", "tier"): '"gold"',
        ("model_versions", "review"): '{"state": "closed", "by": ["x"]}',
    }


def test_they_go_to_a_server_that_has_them(bundle, server: TargetServer, tmp_path):
    with newer_server(server.address, adds=ADDED) as newer:
        result = mlporter.import_(bundle, newer.address)
        assert named(result) == set()
        report = mlporter.diff(bundle, newer.address)
        assert [(d.table, d.key) for d in report.differences] == []
        assert report.tables["unknown_fields"].same == len(rows(bundle)) + 1
        mlporter.export(newer.address, tmp_path / "again")
        assert rows(tmp_path / "again") == rows(bundle)
        newer.asked.clear()
        assert named(mlporter.import_(bundle, newer.address)) == set()
        assert not [path for path in newer.asked if path.endswith(("/update", "/create"))]
    versions = server.rows("SELECT description FROM model_versions")
    assert versions == [("first",)]  # what was sent along with a field is as it was
    assert server.rows("SELECT description FROM registered_models") == [("who leaves",)]


def test_what_somebody_set_there_is_not_overwritten(bundle, server: TargetServer):
    with newer_server(server.address, adds=ADDED) as newer:
        mlporter.import_(bundle, newer.address)
        (run,) = [key for key in newer.kept if key[0] == "run" and key[2] == "priority"]
        newer.kept[run] = 3
        result = mlporter.import_(bundle, newer.address)
        assert newer.kept[run] == 3
        assert "runs.info.priority" in named(result)
        assert result.exit_code == ExitCode.INCOMPLETE
        mlporter.import_(bundle, newer.address, on_conflict="update")
        assert newer.kept[run] == 7


def test_one_that_answers_with_them_and_takes_none(bundle, server: TargetServer):
    with newer_server(server.address, adds=ADDED, takes=False) as newer:
        result = mlporter.import_(bundle, newer.address)
    assert named(result) == FIELDS
    assert result.exit_code == ExitCode.INCOMPLETE


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_plain_server_has_none_of_them(bundle, server: TargetServer, dry_run):
    result = mlporter.import_(bundle, server.address, dry_run=dry_run)
    assert named(result) == FIELDS
    assert result.exit_code == ExitCode.INCOMPLETE


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_database_has_no_place_for_them(bundle, tmp_path, dry_run):
    result = mlporter.import_(
        bundle, f"sqlite:///{tmp_path / 'new.db'}", artifacts="none", dry_run=dry_run
    )
    assert named(result) == FIELDS
    assert result.exit_code == ExitCode.INCOMPLETE


def test_a_selection_brings_those_of_what_is_selected(server: TargetServer, tmp_path):
    with newer_server(server.address, adds=ADDED) as newer:
        fill(server, newer)
        other = server.client().create_experiment("other")
        newer.kept["experiment", other, "owner"] = "somebody"
        mlporter.export(newer.address, tmp_path / "part", selection={"experiments": ["other"]})
    assert rows(tmp_path / "part") == {("experiments", "owner"): '"somebody"'}


def test_inspect_counts_them(server: TargetServer, cli):
    beside = {"facets": {"team": 3}}
    with newer_server(server.address, adds=ADDED, inside=INSIDE, beside=beside) as newer:
        fill(server, newer)
        found = mlporter.inspect(newer.address)
        said = " ".join(cli("inspect", newer.address).out.split())
    for field in ("runs.info.priority (1)", "runs.data.tags[].by", "experiments.owner (2)"):
        assert field in " ".join(found.notes)
        assert field in said
    assert "9.9.0" in " ".join(found.notes)
    assert ("answer", "experiments", "facets") in {(e.kind, e.id, e.path) for e in found.losses}


def test_objects_of_a_later_mlflow_are_named(server: TargetServer, tmp_path, monkeypatch):
    things = ("3.19", "/api/3.0/mlflow/things", "things")
    monkeypatch.setitem(capabilities.UNREAD, "things", things)
    beside = {"facets": {"team": 3}, "nothing": []}
    with newer_server(server.address, things=[{"name": "s"}], beside=beside) as newer:
        report = mlporter.doctor(newer.address)
        result = mlporter.export(newer.address, tmp_path / "bundle")
    (said,) = [check for check in report.checks if check.name.strip() == "MLflow"]
    assert said.value == "9.9.0, newer than this release knows"
    assert any("9.9.0" in note for note in result.notes)
    lost = {(e.kind, e.id, e.path) for e in result.left_out.first if not e.expected}
    assert lost == {("object", "things", ""), ("answer", "experiments", "facets")}
    assert result.exit_code == ExitCode.INCOMPLETE


def test_what_is_called_like_a_secret_stays_where_it_is(server: TargetServer, tmp_path):
    adds = {"experiment": {"webhook": {"api_key": "sk-0123"}}}
    with newer_server(server.address, adds=adds) as newer:
        result = mlporter.export(newer.address, tmp_path / "bundle")
    (lost,) = [e for e in result.left_out.first if e.kind == "field"]
    assert (lost.id, lost.path, lost.reason) == ("experiments", "webhook", "secret")
    files = [path for path in (tmp_path / "bundle").rglob("*") if path.is_file()]
    assert files
    assert not any(b"sk-0123" in path.read_bytes() for path in files)


def test_one_of_the_same_release_takes_what_its_answers_have(bundle, server: TargetServer):
    with newer_server(server.address, version="3.17.9", adds=ADDED) as newer:
        result = mlporter.import_(bundle, newer.address)
    assert named(result) == {"registered_models.tier"}  # nobody has said it there


def test_what_only_the_making_request_takes(bundle, server: TargetServer):
    with newer_server(server.address, adds={"run": ADDED["run"]}, takes=False) as newer:
        newer.takes_new = True
        result = mlporter.import_(bundle, newer.address)
        report = mlporter.diff(bundle, newer.address)
    assert not {"runs.info.priority", "runs.info.labels"} & named(result)
    assert "runs" not in {d.key["table"] for d in report.differences}


# --- Inside of lists ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inside_bundle(running_server: TargetServer, tmp_path_factory):
    """An export of a server that says more of what stands in lists."""
    folder = tmp_path_factory.mktemp("inside") / "bundle"
    running_server.reset()
    with newer_server(running_server.address, inside=INSIDE) as newer:
        fill(running_server, newer)
        client = running_server.client()
        (run,) = client.search_runs([client.get_experiment_by_name("churn").experiment_id])
        id_ = run.info.run_id
        client.log_metric(id_, "loss", 0.25, timestamp=7, step=1)
        client.set_tag(id_, "stage", "dev")
        client.set_registered_model_alias("churn", "best", "1")
        newer.kept.update(
            {
                ("params", f"{id_}/lr", "unit"): "1/s",
                ("tags", f"{id_}/stage", "by"): "zoë",
                ("metrics", f"{id_}/loss/1/7", "unit"): {"si": "m"},
                ("aliases", "churn/best", "why"): "it won",
            }
        )
        result = mlporter.export(newer.address, folder)
    assert result.exit_code == ExitCode.OK, result.left_out
    assert all(field in " ".join(result.notes) for field in INSIDE_FIELDS)
    return folder


def inside_rows(place) -> set[tuple[str, str, str]]:
    """Those of a bundle, but for tags that only say whose copy a run is."""
    with mlporter.open(place) as registry:
        return {
            (row["table"], row["field"], row["value"])
            for row in registry.read("unknown_fields").read_all().to_pylist()
            if row["value"] != '"nobody"'
        }


def test_what_stands_in_lists_is_kept_and_sent_with_it(
    inside_bundle, server: TargetServer, tmp_path
):
    assert inside_rows(inside_bundle) == {
        ("metrics", "unit", '{"si": "m"}'),
        ("registered_models", "aliases[best].why", '"it won"'),
        ("runs", "data.metrics[loss].unit", '{"si": "m"}'),
        ("runs", "data.params[lr].unit", '"1/s"'),
        ("runs", "data.tags[stage].by", '"zo\\u00eb"'),
    }
    with newer_server(server.address, inside=INSIDE) as newer:
        result = mlporter.import_(inside_bundle, newer.address)
        assert named(result) == set()
        assert result.exit_code == ExitCode.OK, result.left_out
        mlporter.export(newer.address, tmp_path / "again")
        assert inside_rows(tmp_path / "again") == inside_rows(inside_bundle)
        assert mlporter.diff(inside_bundle, newer.address).identical
        newer.asked.clear()
        again = mlporter.import_(inside_bundle, newer.address)
        assert (again.exit_code, named(again)) == (ExitCode.OK, set())
        assert not [path for path in newer.asked if path.endswith(("/log-batch", "/alias"))]


def test_what_stands_in_lists_and_is_not_taken_is_named(inside_bundle, server: TargetServer):
    with newer_server(server.address, inside=INSIDE, takes=False) as newer:
        mlporter.import_(inside_bundle, newer.address)
        result = mlporter.import_(inside_bundle, newer.address)  # and the second time, too
    assert named(result) == INSIDE_FIELDS
    assert {e.reason for e in result.left_out.first if e.kind == "field"} == {"unknown"}
    assert result.exit_code == ExitCode.INCOMPLETE


def test_what_stands_in_lists_is_sent_to_what_was_copied_before(
    inside_bundle, server: TargetServer
):
    mlporter.import_(inside_bundle, server.address)
    with newer_server(server.address, inside=INSIDE) as newer:
        result = mlporter.import_(inside_bundle, newer.address, on_conflict="update")
        assert named(result) == set()
        assert mlporter.diff(inside_bundle, newer.address).identical
    assert server.rows("SELECT count(*) FROM metrics") == [(2,)]


def test_a_server_without_them_gets_the_rest(inside_bundle, server: TargetServer):
    result = mlporter.import_(inside_bundle, server.address)
    assert named(result) == INSIDE_FIELDS
    assert result.exit_code == ExitCode.INCOMPLETE
