"""Everything that MLflow can hold, into a server: what it takes arrives, the rest is listed."""

from __future__ import annotations

import mlflow
import pytest

import mlporter
from tests.support.mlflow_session import mlflow_at
from tests.support.rich_models import EXAMPLE_INPUT, VERSION_FACTORS

pytestmark = pytest.mark.timeout(400)

SECRET = {"secrets", "model_definitions", "webhooks"}
"""What holds secrets, which nobody can read: said by name, with exit code 3."""
REFUSED = {
    "params": 1,  # longer than a server takes
    "issues": 1,  # without a description
    "artifacts": 2,  # names that MLflow's proxy refuses, or changes
}
"""Rows and files of the rich registry that MLflow's server does not take."""
UNLISTED = {"label_schemas"}
"""There, but not shown: a server lists label schemas only where it may make one."""


@pytest.fixture(scope="module")
def carried(rich_sqlite_template, running_server):
    """The rich registry, carried into the server; the result, and the server."""
    running_server.reset()
    result = mlporter.copy(rich_sqlite_template.tracking_uri, running_server.address)
    return result, running_server


def test_what_a_server_does_not_take_is_listed_by_name(carried):
    """Silent loss (#250 #240 #165 #42): never `exceptions: 0` over missing data."""
    result, _ = carried
    assert result.exit_code == 3
    left = [item for item in result.left_out.first if not item.expected]
    assert {item.id for item in left if item.reason == "secret"} == SECRET
    assert "unsupported" not in {item.reason for item in left}
    assert "not-as-sent" not in {item.reason for item in left}
    assert {item.path for item in left if item.reason == "too-long"} == {"params/long"}


def test_the_rest_is_the_same_in_the_eyes_of_diff(carried, rich_sqlite_template):
    _, server = carried
    report = mlporter.diff(rich_sqlite_template.tracking_uri, server.address)
    found = {
        table: counts.different
        for table, counts in report.tables.items()
        if counts.different and table not in UNLISTED
    }
    assert found == REFUSED
    assert {difference.sigil for difference in report.differences} == {"+"}


def test_a_second_import_makes_nothing(carried, rich_sqlite_template, writes):
    """It sends nothing but what was refused; the list of what is left out is the same."""
    first, server = carried
    tables = ("runs", "metrics", "trace_info", "spans", "assessments", "logged_models", "inputs",
              "model_versions", "evaluation_dataset_records", "review_queues", "scorer_versions",
              "webhooks", "endpoints", "guardrails", "budget_policies", "mcp_servers",
              "mcp_access_endpoints")  # fmt: skip
    before = {table: server.rows(f"SELECT count(*) FROM {table}") for table in tables}
    again = mlporter.copy(rich_sqlite_template.tracking_uri, server.address)
    assert again.rows == 0
    sent = {line.rpartition("/")[2] for line in writes}
    assert sent == {"issues", "hash%23tag.txt"}
    assert again.exit_code == first.exit_code
    assert sorted(map(str, again.left_out.first)) == sorted(map(str, first.left_out.first))
    assert again.files.stored_files == 0
    assert {table: server.rows(f"SELECT count(*) FROM {table}") for table in tables} == before


def test_a_copy_is_copied_whole_from_server_to_server(carried, other_server, writes):
    """What one server took, another one takes, but for the edge to a model that is deleted."""
    _, server = carried
    result = mlporter.copy(server.address, other_server.address)
    left = {(item.kind, item.reason) for item in result.left_out.first if not item.expected}
    assert left == {("run", "dangling"), ("logged_model", "missing")}
    report = mlporter.diff(server.address, other_server.address)
    found = {table: c.different for table, c in report.tables.items() if c.different}
    assert found == {"inputs": 1}

    writes.clear()
    again = mlporter.copy(server.address, other_server.address)
    assert (writes, again.rows) == ([], 0)
    assert sorted(map(str, again.left_out.first)) == sorted(map(str, result.left_out.first))


def test_models_predict_the_same(carried, rich_sqlite_template):
    """The second of a run's two models (a wrong model without an error), versions without a run
    (#179), stages, several versions in Production (#32), aliases."""
    _, server = carried
    models = rich_sqlite_template.models
    three, four, one = (VERSION_FACTORS[version] for version in (3, 4, 1))
    uris = {
        f"models:/{models.name}/1": one,
        f"models:/{models.name}/3": three,
        f"models:/{models.name}/4": four,
        f"models:/{models.name}@champion": three,
        f"models:/{models.name}/Production": three,
        f"models:/{models.name}/Staging": four,
        f"models:/{models.awkward_name}@only": four,
        f"models:/{models.runless_name}/1": 10.0,
        f"models:/{models.runless_name}/3": 30.0,
    }
    with mlflow_at(server.address):
        found = {uri: list(mlflow.pyfunc.load_model(uri).predict(EXAMPLE_INPUT)) for uri in uris}
    assert found == {uri: [factor * x for x in EXAMPLE_INPUT] for uri, factor in uris.items()}


def test_traces_keep_ids_spans_and_assessments(carried, rich_sqlite_template):
    """Traces: 0 of 5 came over."""
    _, server = carried
    traces = rich_sqlite_template.traces
    query = "SELECT count(*) FROM assessments"
    with mlflow_at(server.address):
        trace = mlflow.get_trace(traces.nested_id)
        assert trace.info.trace_id == traces.nested_id
        assert len(trace.data.spans) > 1
    from tests.support.databases import rows  # noqa: PLC0415

    assert server.rows(query) == rows(rich_sqlite_template.tracking_uri, query)
