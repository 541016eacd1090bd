"""The test registries hold what they claim, as MLflow itself sees it."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import sqlite3
from pathlib import Path

import hypothesis
import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, inspect, text

from mlporter.stores.database.engines import sqlite
from mlporter.stores.rows import last_sent
from tests.support import forks, rich_models, rich_rest, rich_runs, rich_traces
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import (
    PLAIN_FACTORS,
    PlainRegistry,
    build_plain_registry,
    fill_metrics,
)
from tests.support.quick_disks import let_sqlite_write_nothing_through
from tests.support.rich_registry import (
    RichRegistry,
    add_what_only_sqlite_holds,
    build_rich_registry,
)


@pytest.fixture(params=["sqlite", "postgres"])
def rich(request: pytest.FixtureRequest) -> RichRegistry:
    return request.getfixturevalue(f"rich_{request.param}")


def predict(uri: str) -> list[float]:
    return list(mlflow.pyfunc.load_model(uri).predict(rich_models.EXAMPLE_INPUT))


def use(registry: RichRegistry | PlainRegistry) -> None:
    mlflow.set_tracking_uri(registry.tracking_uri)
    mlflow.set_registry_uri(registry.tracking_uri)


def row_counts(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        counts = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in inspect(engine).get_table_names()
        }
    engine.dispose()
    return counts


# --- The rich registry ----------------------------------------------------------------------------


def test_every_table_holds_something(rich):
    counts = row_counts(rich.tracking_uri)
    assert len(counts) == 65
    assert [table for table, count in counts.items() if not count] == []


def test_runs_are_nested_two_levels_deep(rich):
    client = rich.client()
    parents = {
        run.info.run_id: run.data.tags.get("mlflow.parentRunId")
        for run in client.search_runs([rich.runs.experiment_id])
    }
    assert [parents[child] for child in rich.runs.child_ids] == [rich.runs.parent_id] * 2
    assert parents[rich.runs.grandchild_id] == rich.runs.child_ids[0]


def test_deleted_things_are_there(rich):
    client, runs = rich.client(), rich.runs
    assert client.get_run(runs.deleted_id).info.lifecycle_stage == "deleted"
    assert client.get_experiment(runs.deleted_experiment_id).lifecycle_stage == "deleted"
    in_deleted = client.search_runs([runs.deleted_experiment_id], run_view_type=ViewType.ALL)
    stages = {run.info.run_id: run.info.lifecycle_stage for run in in_deleted}
    assert stages == {runs.run_in_deleted_id: "deleted", runs.restored_id: "active"}
    with pytest.raises(MlflowException, match="not found"):
        client.get_logged_model(rich.models.deleted_model_id)


def test_awkward_text_is_kept_as_it_is(rich):
    run = rich.client().get_run(rich.runs.awkward_id)
    long = {rich_runs.LONG_PARAM: rich_runs.LONG_PARAM_VALUE}
    assert run.data.params == {**rich_runs.AWKWARD_PARAMS, **long}
    assert run.data.tags == {**rich_runs.AWKWARD_TAGS, "mlflow.runName": run.info.run_name}
    assert len(rich_runs.LONG_PARAM_VALUE) == 8000


def test_metrics_are_special_and_out_of_order(rich):
    client = rich.client()
    history = client.get_metric_history(rich.runs.metrics_id, "history")
    expected = [
        (str(value), timestamp, step) for value, timestamp, step in rich_runs.METRIC_HISTORY
    ]
    assert sorted((str(m.value), m.timestamp, m.step) for m in history) == sorted(expected)
    latest = client.get_run(rich.runs.metrics_id).data.metrics
    assert math.isnan(latest["nan"])
    # The loss is MLflow's own.
    assert latest["inf"] == -latest["-inf"] == latest["largest"]
    assert latest["denormal"] == 5e-324


def test_artifact_names_are_awkward(rich):
    def listed(path: str | None = None) -> set[str]:
        found = rich.client().list_artifacts(rich.runs.artifacts_id, path)
        return set().union(*(listed(f.path) if f.is_dir else {f.path} for f in found))

    assert listed() == set(rich_runs.ARTIFACTS)


def test_two_runs_share_a_dataset(rich):
    first, second = (
        rich.client().get_run(run_id).inputs.dataset_inputs for run_id in rich.runs.dataset_run_ids
    )
    assert sorted(entry.dataset.name for entry in first) == ["lonely ü", "shared"]
    assert [entry.dataset.digest for entry in second] == ["d1gest"]
    assert second[0].tags[0].value == "eval 🦆"


def test_runs_have_every_status(rich):
    client = rich.client()
    assert {client.get_run(run).info.status for run in rich.runs.status_ids.values()} == set(
        rich.runs.status_ids
    )
    assert client.get_run(rich.runs.bare_id).info.end_time is None


def test_versions_have_stages_aliases_and_gaps(rich):
    client, models = rich.client(), rich.models
    versions = client.search_model_versions(f"name = '{models.name}'")
    assert {str(v.version): v.current_stage for v in versions} == models.stages
    registered = client.get_registered_model(models.name)
    assert {alias: str(v) for alias, v in registered.aliases.items()} == models.aliases
    for version in models.deleted_versions:
        with pytest.raises(MlflowException):
            client.get_model_version(models.name, version)
    assert client.search_model_versions(f"name = '{models.empty_name}'") == []


def test_models_load_by_every_kind_of_address(rich):
    use(rich)
    models = rich.models
    factors = rich_models.VERSION_FACTORS
    assert factors[1] == 2.0
    for uri, factor in {
        f"models:/{models.name}/1": factors[1],
        f"models:/{models.name}@challenger": factors[4],
        f"models:/{models.name}/Production": factors[3],
        f"runs:/{models.legacy_run_id}/model": factors[1],
        f"models:/{models.second_model_id}": factors[4],
        f"models:/{models.runless_name}/1": 10.0,
        f"models:/{models.runless_name}/2": 20.0,
    }.items():
        assert predict(uri) == [factor * x for x in rich_models.EXAMPLE_INPUT], uri


def test_model_metrics_know_model_and_dataset(rich):
    client = rich.client()
    metrics = client.get_logged_model(rich.models.first_model_id).metrics
    found = {(m.key, m.value, m.step, m.dataset_name) for m in metrics}
    assert found == {
        ("accuracy", 0.9, 1, "holdout"),
        ("accuracy", 0.8, 0, "holdout"),
        ("no dataset", -1e-9, 0, None),
    }
    inputs = client.get_run(rich.models.metrics_run_id).inputs.model_inputs
    assert [entry.model_id for entry in inputs] == [rich.models.first_model_id]


def test_nested_trace_has_spans_tokens_and_assessments(rich):
    use(rich)
    trace = mlflow.get_trace(rich.traces.nested_id)
    spans = {span.span_id: span for span in trace.data.spans}
    assert set(spans) == set(rich.traces.span_ids)
    root, last = spans[rich.traces.span_ids[0]], spans[rich.traces.span_ids[-1]]
    assert root.inputs["question"] == rich_runs.AWKWARD_TEXT
    assert spans[last.parent_id].parent_id == root.span_id
    assert trace.info.token_usage == {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    assert trace.info.client_request_id == "req/1 🦆"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "session-1"
    assessments = {a.assessment_id: a for a in trace.info.assessments}
    assert set(assessments) == set(rich.traces.assessments.values())
    override = assessments[rich.traces.assessments["override"]]
    assert override.overrides == rich.traces.assessments["overridden"]
    assert not assessments[override.overrides].valid


def test_other_traces_are_as_described(rich):
    use(rich)
    traces = rich.traces
    assert mlflow.get_trace(traces.error_id).info.state == "ERROR"
    assert len(mlflow.get_trace(traces.big_id).data.spans[0].outputs) == rich_traces.BIG_PAYLOAD
    assert mlflow.get_trace(traces.old_id).data.spans[0].name == "old"
    assert rich.client()._tracing_client.get_trace_info(traces.in_progress_id).state == (
        "IN_PROGRESS"
    )
    linked = mlflow.search_traces(
        locations=[traces.experiment_id], run_id=traces.run_id, return_type="list"
    )
    assert {t.info.trace_id for t in linked} == {traces.nested_id, traces.in_run_id}


def test_prompts_have_versions_and_aliases(rich):
    client = rich.client()
    for alias, version in rich.rest.prompt_aliases.items():
        assert client.get_prompt_version_by_alias(rich.rest.prompt_name, alias).version == version
    use(rich)
    text_of_third = mlflow.genai.load_prompt(f"prompts:/{rich.rest.prompt_name}/3").template
    assert text_of_third == f"{rich_rest.PROMPT_TEXT} v3"


def test_secrets_are_not_stored_as_they_are(rich_sqlite):
    content = rich_sqlite.database_path.read_bytes()
    assert rich_rest.GATEWAY_SECRET.encode() not in content
    assert rich_rest.WEBHOOK_SECRET.encode() not in content


def test_everything_lies_below_the_artifact_root(rich):
    engine = create_engine(rich.tracking_uri)
    with engine.connect() as connection:
        places = connection.execute(text("SELECT artifact_location FROM experiments")).scalars()
        assert all(rich.artifact_root in place for place in places)
    engine.dispose()


# --- Copies ---------------------------------------------------------------------------------------


def test_copies_share_nothing_with_their_template(rich_sqlite_private, rich_sqlite_template):
    use(rich_sqlite_private)
    assert predict(f"models:/{rich_sqlite_private.models.name}/3") == [3.0, 7.5, -9.0]
    assert leftovers(rich_sqlite_private.database_path, rich_sqlite_template.artifact_root) == []


def leftovers(database: Path, needle: str) -> list[str]:
    connection = sqlite3.connect(database)
    tables = [row[0] for row in connection.execute("SELECT name FROM pragma_table_list")]
    found = [
        f"{table}.{column[1]}"
        for table in tables
        if not table.startswith("sqlite_")
        for column in connection.execute(f"PRAGMA table_info({table})").fetchall()
        if connection.execute(
            f"SELECT count(*) FROM {table} WHERE instr({column[1]}, ?)", (needle,)
        ).fetchone()[0]
    ]
    connection.close()
    return found


def test_template_is_untouched_by_tests(rich_sqlite_template, rich_sqlite):
    before = hashlib.sha256(rich_sqlite_template.database_path.read_bytes()).digest()
    rich_sqlite.client().create_experiment("new")
    assert hashlib.sha256(rich_sqlite_template.database_path.read_bytes()).digest() == before


def test_workspaces_repeat_names(rich_sqlite_workspaces):
    use(rich_sqlite_workspaces)
    mlflow.set_workspace("team-b")
    client = rich_sqlite_workspaces.client()
    experiment = client.get_experiment_by_name(rich_runs.EXPERIMENT_NAME)
    assert experiment.experiment_id != rich_sqlite_workspaces.runs.experiment_id
    assert experiment.artifact_location.startswith(rich_sqlite_workspaces.artifact_root)
    assert predict(f"models:/{rich_models.MODEL_NAME}@champion")[0] == 5.0
    mlflow.set_workspace("default")
    assert predict(f"models:/{rich_models.MODEL_NAME}@champion")[0] == 3.0


def test_sqlite_holds_what_postgres_would_not(rich_sqlite):
    add_what_only_sqlite_holds(rich_sqlite.database_path)
    client = rich_sqlite.client()
    assert len(client.get_experiment("123456789012345678").name) == 500
    assert len(client.get_registered_model("long description").description) == 5001


# --- Plain, bulk, engines -------------------------------------------------------------------------


def test_plain_registry_is_what_it_says(plain_sqlite):
    use(plain_sqlite)
    client = plain_sqlite.client()
    assert len(plain_sqlite.run_ids) == 3
    assert client.get_run(plain_sqlite.run_ids[1]).data.params["depth"] == "1"
    for version, factor in PLAIN_FACTORS.items():
        assert predict(f"models:/{plain_sqlite.model_name}/{version}")[0] == factor
    assert predict(f"models:/{plain_sqlite.model_name}@champion")[0] == 2.0


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_fill_metrics_makes_what_mlflow_reads(engine, request):
    url = (
        f"sqlite:///{request.getfixturevalue('mlflow_sqlite')}"
        if engine == "sqlite"
        else request.getfixturevalue("mlflow_postgres_url")
    )
    experiment = fill_metrics(url, runs=3, keys=4, steps=5)
    again = fill_metrics(url, runs=1, keys=1, steps=1)
    client = mlflow.MlflowClient(url, url)
    runs = client.search_runs([experiment])
    assert len(runs) == 3
    assert len(runs[0].data.metrics) == 4
    assert len(runs[0].data.params) == 10
    assert len(client.get_metric_history(runs[0].info.run_id, "metric_3")) == 5
    assert len(client.search_runs([again])) == 1


def test_databases_are_as_empty_as_promised(empty_postgres_url, mlflow_postgres_url, mlflow_sqlite):
    assert row_counts(empty_postgres_url) == {}
    for url in (mlflow_postgres_url, f"sqlite:///{mlflow_sqlite}"):
        filled = {table: count for table, count in row_counts(url).items() if count}
        assert filled == {"alembic_version": 1, "experiments": 1, "workspaces": 1}


def test_s3_takes_a_registry(s3, mlflow_sqlite):
    bucket = s3.new_bucket()
    plain = build_plain_registry(f"sqlite:///{mlflow_sqlite}", bucket)
    use(plain)
    assert predict(f"models:/{plain.model_name}/3")[0] == 3.0
    listing = s3.client().list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    assert any("report.txt" in entry["Key"] for entry in listing["Contents"])


def test_s3_takes_the_rich_registry(s3, mlflow_sqlite):
    rich = build_rich_registry(f"sqlite:///{mlflow_sqlite}", s3.new_bucket() + "/deep")
    use(rich)
    assert predict(f"models:/{rich.models.name}/4")[0] == 4.0


@pytest.mark.parametrize("attempt", [1, 2])
def test_nothing_of_mlflow_is_left_from_test_to_test(attempt, tmp_path):
    assert Path.cwd() == tmp_path
    assert mlflow.active_run() is None
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert "MLFLOW_EXPERIMENT_NAME" not in os.environ
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/{attempt}.db")
    mlflow.set_experiment("left over")
    mlflow.start_run()
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "left over"


# --- Disks and chance -----------------------------------------------------------------------------

_SYNCHRONOUS = """
import os, sys
from sqlalchemy import create_engine, text
with create_engine(sys.argv[1]).connect() as connection:
    print(connection.execute(text("PRAGMA synchronous")).scalar())
print(os.fsync.__name__)
"""


def test_mlflow_and_its_servers_write_nothing_through_to_the_disk(mlflow_sqlite):
    engine = create_engine(sqlite_url(mlflow_sqlite))
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 0
    engine.dispose()
    done = forks.run(["-c", _SYNCHRONOUS, sqlite_url(mlflow_sqlite)])
    assert done.stdout.split() == ["0", os.fsync.__name__]
    assert os.fsync.__name__ != "fsync"


def test_neither_does_mlporter_with_what_it_writes(mlflow_sqlite, tmp_path):
    let_sqlite_write_nothing_through()
    kept = last_sent._connected(tmp_path / "base.sqlite")
    assert kept.execute("PRAGMA synchronous").fetchone() == (0,)
    kept.close()
    writer = sqlite.open_writer(mlflow_sqlite, "here")
    assert writer.scalar("PRAGMA synchronous") == 0
    writer.close()


def test_what_cannot_be_synced_is_an_error_all_the_same():
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fsync(-1)


def test_chance_finds_the_same_in_every_run_unless_it_is_told_to_search():
    assert hypothesis.settings().derandomize is not bool(os.environ.get("MLPORTER_SEARCH"))
