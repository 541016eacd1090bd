"""Fields of a later MLflow: kept in bundles, sent where they are known, named everywhere else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Feedback,
    LoggedModelOutput,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.gateway_endpoint import (
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
    GatewayModelLinkageType,
)
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.rest_utils import MlflowHostCreds

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


# --- Deeper ---------------------------------------------------------------------------------------

DEEP = {
    "trace": {"channel": "?"},
    "assessment": {"weight": 1},
    "input": {"used": None},
    "dataset": {"rows": None},
    "output": {"kind": None},
    "model_point": {"unit": None},
    "definition": {"price": None},
    "endpoint": {"limit": None},
    "behind": {"share": None},
    "endpoint_tag": {"by": "nobody"},
}
DEEP_FIELDS = {
    "trace_info.channel",
    "trace_info.assessments[].weight",
    "runs.inputs.dataset_inputs[].used",
    "runs.inputs.dataset_inputs[].dataset.rows",
    "runs.outputs.model_outputs[].kind",
    "logged_models.data.metrics[].unit",
    "model_definitions.price",
    "endpoints.limit",
    "endpoints.model_mappings[].share",
    "endpoints.tags[].by",
}


def fill_deep(server: TargetServer, newer) -> None:
    """A trace, a run that read and made something, and an endpoint of the gateway."""
    client, store = server.client(), RestStore(partial(MlflowHostCreds, server.address))
    experiment = client.create_experiment("deep")
    run = client.create_run(experiment).info.run_id
    dataset = Dataset("customers [2026]", "d1", "local", '{"uri": "/data"}')
    client.log_inputs(run, [DatasetInput(dataset, [])])
    model = client.create_logged_model(experiment, name="churn").model_id
    client.log_outputs(run, [LoggedModelOutput(model, 2)])
    for step in (1, 2):
        client.log_metric(run, "auc", 0.5 * step, timestamp=step, step=step, model_id=model)
    trace = TraceInfo("tr-1", TraceLocation.from_experiment_id(experiment), 1_000, TraceState.OK)
    store.start_trace(trace)
    given = Feedback(name="good", value=True, trace_id="tr-1")
    assessment = store.create_assessment(given).assessment_id
    secret = store.create_gateway_secret("key", {"api_key": "sk-1"}, "openai").secret_id
    behind = [
        GatewayEndpointModelConfig(
            store.create_gateway_model_definition(
                kind.value, secret, "openai", "gpt"
            ).model_definition_id,
            kind,
            1.0,
            fallback_order=order,
        )
        for order, kind in enumerate(GatewayModelLinkageType)
    ]
    endpoint = store.create_gateway_endpoint("judge", behind).endpoint_id
    store.set_gateway_endpoint_tag(endpoint, GatewayEndpointTag("gateway.team", "a"))
    told = {
        ("trace", "tr-1", "channel"): "web",
        ("assessment", assessment, "weight"): 7,
        ("input", str((run, dataset.name)), "used"): "all",
        ("dataset", str((run, dataset.name)), "rows"): 12,
        ("output", str((run, model)), "kind"): ["best"],
        ("model_point", str((model, 1)), "unit"): "one",
        ("model_point", str((model, 2)), "unit"): "two",
        ("definition", "PRIMARY", "price"): 3,
        ("endpoint", "judge", "limit"): {"per": "day"},
        ("behind", "FALLBACK", "share"): 0.5,
        ("endpoint_tag", "gateway.team", "by"): "zoë",
    }
    newer.kept.update(told)


@pytest.fixture(scope="module")
def deep_bundle(running_server: TargetServer, tmp_path_factory):
    """An export of a server that says more of what stands deep in its answers."""
    folder = tmp_path_factory.mktemp("deep") / "bundle"
    running_server.reset()
    with newer_server(running_server.address, deep=DEEP) as newer:
        fill_deep(running_server, newer)
        result = mlporter.export(newer.address, folder, include_secrets=True)
    assert {field for field in DEEP_FIELDS if field not in " ".join(result.notes)} == set(), (
        result.notes
    )
    return folder


def deep_rows(place) -> set[tuple[str, str, str]]:
    with mlporter.open(place) as registry:
        return {
            (row["table"], row["field"].partition("[")[0], row["value"])
            for row in registry.read("unknown_fields").read_all().to_pylist()
        }


def test_what_stands_deep_is_sent_with_what_is_made(deep_bundle, server: TargetServer, tmp_path):
    with newer_server(server.address, deep=DEEP) as newer:
        result = mlporter.import_(deep_bundle, newer.address)
        assert named(result) == set()
        mlporter.export(newer.address, tmp_path / "again")
        assert deep_rows(tmp_path / "again") == deep_rows(deep_bundle)
        report = mlporter.diff(deep_bundle, newer.address)
        assert [d.key for d in report.differences if d.table == "unknown_fields"] == []
        newer.asked.clear()
        assert named(mlporter.import_(deep_bundle, newer.address)) == set()
        assert not [
            path
            for path in newer.asked
            if path.startswith("P") and path.endswith(("s", "/log-batch", "/update"))
        ]


def test_what_stands_deep_is_sent_to_what_was_copied_before(deep_bundle, server: TargetServer):
    mlporter.import_(deep_bundle, server.address)
    server.client().set_trace_tag("tr-1", "reviewed", "by me")
    states = [
        "SELECT * FROM assessments",
        "SELECT * FROM inputs ORDER BY 1, 2, 3, 4",
        "SELECT * FROM metrics ORDER BY 1, 3",
        "SELECT * FROM logged_model_metrics ORDER BY 1, 4",
        "SELECT key, value FROM trace_tags ORDER BY 1",
        "SELECT name, model_name FROM model_definitions ORDER BY 1",
        "SELECT name, routing_strategy FROM endpoints ORDER BY 1",
    ]
    before = [server.rows(query) for query in states]
    only_when_made = {"runs.outputs.model_outputs[].kind", "endpoints.model_mappings[].share"}
    with newer_server(server.address, deep=DEEP) as newer:
        result = mlporter.import_(deep_bundle, newer.address, on_conflict="update")
        assert named(result) == only_when_made, result.left_out
        assert result.exit_code == ExitCode.INCOMPLETE
        report = mlporter.diff(deep_bundle, newer.address)
        different = [d.key["field"] for d in report.differences if d.table == "unknown_fields"]
        assert {field.partition("[")[0] for field in different} == {
            "outputs.model_outputs",
            "model_mappings",
        }
    assert [server.rows(query) for query in states] == before


def test_what_stands_deep_and_is_not_taken_is_named(deep_bundle, server: TargetServer):
    with newer_server(server.address, deep=DEEP, takes=False) as newer:
        result = mlporter.import_(deep_bundle, newer.address)
    assert named(result) == DEEP_FIELDS
    assert result.exit_code == ExitCode.INCOMPLETE
