"""Make a small database with the MLflow that is installed: all that its version can hold.

    pip install 'mlflow==2.9.2' 'sqlalchemy<2.1' 'setuptools<80'
    python make.py mlflow-2.9.2.db

The databases beside this script were made so, by the releases that they are named after. Nothing
in them names the machine that they were made on.
"""

# ruff: noqa: B905, PLC0415, UP031 -- it runs with Python 3.8 and any MLflow, which have no more

import inspect
import json
import os
import sqlite3
import sys
from contextlib import closing

import mlflow
from mlflow import entities
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

START = 1_600_000_000_000
VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
VALUES = (0.1 + 0.2, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1e300)


def tags(kind, **values):
    return [kind(key.replace("__", "."), value) for key, value in values.items()]


def fill_runs(store):
    """Experiments, deleted and not; nested runs; every kind of number; odd text."""
    live = store.create_experiment("live")
    store.set_experiment_tag(live, entities.ExperimentTag("team", "a/b c é"))
    gone = store.create_experiment("gone")
    runs = [make_run(store, live, number) for number in range(4)]
    store.set_tag(runs[1], RunTag("mlflow.parentRunId", runs[0]))
    store.set_tag(runs[2], RunTag("mlflow.parentRunId", runs[1]))
    store.delete_run(runs[3])
    make_run(store, gone, 9)
    store.delete_experiment(gone)
    return live, runs


def make_run(store, experiment, number):
    start = START + number * 1000
    arguments = [experiment, "maker", start, [RunTag("mlflow.user", "maker")]]
    run = store.create_run(*arguments, run_name="run %d" % number).info.run_id
    steps = [Metric("loss", 1 / (step + 2), start + step, step) for step in range(-1, 20)]
    odd = [Metric("odd %d" % i, value, start, 0) for i, value in enumerate(VALUES)]
    twice = [Metric("twice", 1.0, start, 5), Metric("twice", 2.0, start, 5)]
    params = [Param("lr", "0.%d" % number), Param("empty", " "), Param("a b/ü", "two\nlines ")]
    store.log_batch(run, steps + odd + twice, params, [RunTag("note", "“quoted”\r\n" + "x" * 400)])
    if number != 2:
        store.update_run_info(run, RunStatus.FINISHED, start + 500, "run %d" % number)
    return run


def fill_registry(store, runs):
    """Models with versions in every stage, versions without a run, a deleted one, aliases."""
    from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

    store.create_registered_model("forest", [RegisteredModelTag("owner", "é")], "a model")
    store.create_registered_model("no versions")
    for number, stage in enumerate(("None", "Staging", "Production", "Archived", "None"), 1):
        source = "mlflow-artifacts:/1/%s/artifacts/model" % runs[number % 3]
        run = runs[number % 3] if number != 4 else None
        store.create_model_version("forest", source, run, [ModelVersionTag("n", str(number))])
        store.transition_model_version_stage("forest", str(number), stage, False)
    store.update_model_version("forest", "2", "the second")
    store.delete_model_version("forest", "5")
    if VERSION >= (2, 3):
        store.set_registered_model_alias("forest", "champion", "3")
        is_prompt = RegisteredModelTag("mlflow.prompt.is_prompt", "true")
        store.create_registered_model("a prompt", [is_prompt])
        text = ModelVersionTag("mlflow.prompt.text", "Say {{what}}.")
        store.create_model_version("a prompt", "dummy-source", None, [text])


def fill_datasets(store, runs):
    dataset = entities.Dataset("iris", "d1g3st", "local", '{"uri": "/data/iris.csv"}', "{}", None)
    used = entities.DatasetInput(dataset, tags(entities.InputTag, mlflow__data__context="train"))
    for run in runs[:2]:
        store.log_inputs(run, [used])


def fill_old_traces(store, experiment):
    """MLflow 2's: tags and metadata, and nothing else."""
    for number in range(4):
        metadata = {"mlflow.traceInputs": "in %d" % number, "mlflow.trace.session": "s"}
        named = {"mlflow.traceName": "trace %d" % number, "mine": "é"}
        trace = store.start_trace(experiment, START + number, metadata, named)
        if number != 3:
            status = entities.trace_status.TraceStatus.OK
            store.end_trace(trace.request_id, START + number + 7, status, {}, {"late": "yes"})


def fill_traces(store, experiment, run):
    """MLflow 3's: tokens, costs and sessions in the metadata; assessments; spans in rows."""
    from mlflow.entities.trace_info import TraceInfo
    from mlflow.entities.trace_location import TraceLocation
    from mlflow.entities.trace_state import TraceState

    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    cost = {"input_cost": 0.001, "output_cost": 0.002, "total_cost": 0.003}
    for number in range(4):
        metadata = {
            "mlflow.sourceRun": run,
            "mlflow.trace.session": "session %d" % (number % 2),
            "mlflow.trace.tokenUsage": json.dumps(usage),
            "mlflow.trace.cost": json.dumps(cost),
            "mlflow.traceInputs": "question",
        }
        info = TraceInfo(
            trace_id="tr-%032x" % number,
            trace_location=TraceLocation.from_experiment_id(experiment),
            request_time=START + number,
            execution_duration=5 + number,
            state=TraceState.OK if number else TraceState.IN_PROGRESS,
            request_preview="question",
            response_preview="answer é",
            trace_metadata=metadata if number != 3 else {},
            tags={"mlflow.traceName": "trace %d" % number, "mine": "a"},
        )
        start = getattr(store, "start_trace_v3", None) or store.start_trace
        start(info)
        if hasattr(store, "create_assessment"):
            fill_assessments(store, info.trace_id)
        if hasattr(store, "log_spans"):
            fill_spans(store, experiment, info.trace_id)


def fill_assessments(store, trace):
    from mlflow.entities.assessment import AssessmentSource, Expectation, Feedback

    person = AssessmentSource("HUMAN", "somebody")
    for name, value in (("good", "yes"), ("score", 0.75), ("flag", True), ("dict", {"a": [1]})):
        store.create_assessment(
            Feedback(name=name, value=value, source=person, trace_id=trace, rationale="because")
        )
    expected = Expectation(name="answer", value="42", source=person, trace_id=trace)
    made = store.create_assessment(expected)
    store.update_assessment(trace, made.assessment_id, expectation=expected.expectation)


def fill_spans(store, experiment, trace):
    from mlflow.entities.span import create_mlflow_span
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace import ReadableSpan

    number = int(trace[3:], 16)
    spans = []
    for index in range(2):
        context = api.SpanContext(number + 1, index + 1, False, api.TraceFlags(1))
        parent = api.SpanContext(number + 1, 1, False, api.TraceFlags(1)) if index else None
        attributes = {
            "mlflow.traceRequestId": json.dumps(trace),
            "mlflow.spanInputs": json.dumps({"q": "é"}),
            "mlflow.spanType": json.dumps("LLM"),
            "mlflow.llm.model": json.dumps("gpt-x"),
            "mlflow.llm.provider": json.dumps("nobody"),
            "mlflow.llm.cost": json.dumps(
                {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}
            ),
        }
        otel = ReadableSpan(
            name="span %d" % index,
            context=context,
            parent=parent,
            attributes=attributes,
            start_time=(START + index) * 1_000_000,
            end_time=(START + index + 3) * 1_000_000,
            resource=None,
        )
        spans.append(create_mlflow_span(otel, trace))
    store.log_spans(experiment, spans)


def fill_models(store, experiment, run):
    """Logged models: ready, failed, deleted; their metrics, params, tags; as outputs of a run."""
    from mlflow.entities import LoggedModelParameter, LoggedModelStatus, LoggedModelTag

    made = [
        store.create_logged_model(
            experiment_id=experiment,
            name="model %d" % number,
            source_run_id=run,
            tags=[LoggedModelTag("t", "é")],
            params=[LoggedModelParameter("p", str(number))],
            model_type="agent",
        ).model_id
        for number in range(3)
    ]
    for model, status in zip(made, (LoggedModelStatus.READY, LoggedModelStatus.FAILED)):
        store.finalize_logged_model(model, status)
    store.log_batch(run, [Metric("acc", 0.9, START, 1, model_id=made[0], run_id=run)], [], [])
    store.log_outputs(run, [entities.LoggedModelOutput(made[0], 3)])
    store.log_inputs(run, None, [entities.LoggedModelInput(made[1])])
    store.delete_logged_model(made[2])


def fill_the_rest(store, experiment):
    """Scorers and datasets for evaluation, where there are any."""
    if hasattr(store, "register_scorer"):
        store.register_scorer(experiment, "judge", json.dumps({"name": "judge"}))
    if hasattr(store, "upsert_dataset_records"):
        dataset = store.create_dataset("questions", {"team": "a"}, [experiment])
        record = {"inputs": {"q": "é"}, "expectations": {"a": 42}, "tags": {"t": "1"}}
        store.upsert_dataset_records(dataset.dataset_id, [record])


def main(path):
    url = "sqlite:///" + os.path.abspath(path)  # noqa: PTH100 -- as old MLflows do
    store, registry = TrackingStore(url, "mlflow-artifacts:/"), RegistryStore(url)
    experiment, runs = fill_runs(store)
    fill_registry(registry, runs)
    if hasattr(store, "log_inputs"):
        fill_datasets(store, runs)
    if hasattr(store, "start_trace"):
        modern = "trace_info" in inspect.signature(store.start_trace).parameters
        if modern or hasattr(store, "start_trace_v3"):
            fill_traces(store, experiment, runs[0])
        else:
            fill_old_traces(store, experiment)
    if hasattr(store, "create_logged_model"):
        fill_models(store, experiment, runs[0])
    fill_the_rest(store, experiment)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")


if __name__ == "__main__":
    main(sys.argv[1])
