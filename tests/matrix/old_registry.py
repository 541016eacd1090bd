"""Run by an older MLflow: fill a server through its own client, and say what that client reads.

    python old_registry.py http://…

Nothing but the standard library and that MLflow is there.
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.tracking._tracking_service.utils import _get_store


def fill(client):
    experiment = client.create_experiment("old ünit", tags={"why": "test"})
    runs = []
    for number in range(3):
        run = client.create_run(experiment, start_time=1_000 + number).info.run_id
        runs.append(run)
        client.log_batch(
            run,
            metrics=[Metric("m", float(step), 1_000 + step, step) for step in range(30)]
            + [Metric("nan", float("nan"), 1_000, 0)],
            params=[Param("p", "ü")],
            tags=[RunTag("t", "v")],
        )
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "file.txt").write_text(f"of run {number}")
            client.log_artifact(run, str(Path(folder, "file.txt")), "deep")
        client.set_terminated(run, end_time=2_000)
    client.delete_run(runs[2])
    client.create_registered_model("model", description="d")
    source = client.get_run(runs[0]).info.artifact_uri + "/model"
    for _ in range(3):
        client.create_model_version("model", source, runs[0])
    client.delete_model_version("model", "2")
    client.set_registered_model_alias("model", "champion", "3")
    client.delete_experiment(client.create_experiment("gone"))
    if hasattr(mlflow, "start_span"):
        mlflow.set_experiment(experiment_id=experiment)
        with mlflow.start_span("root") as span:
            span.set_inputs({"q": 1})
        if hasattr(mlflow, "flush_trace_async_logging"):
            mlflow.flush_trace_async_logging()
    if hasattr(client, "create_logged_model"):
        client.create_logged_model(experiment, name="logged", params={"lp": "1"})
    return experiment


def read(client, experiment):
    runs = client.search_runs([experiment], run_view_type=ViewType.ALL)
    traces = models = []
    if hasattr(client, "search_traces"):
        # The client's own search drops traces whose spans it cannot load.
        traces = [info.request_id for info in _get_store().search_traces([experiment])[0]]
    if hasattr(client, "search_logged_models"):
        models = [model.model_id for model in client.search_logged_models([experiment])]
    return {
        "runs": {run.info.run_id: run.info.lifecycle_stage for run in runs},
        "points": {
            run.info.run_id: [
                [m.step, m.timestamp] for m in client.get_metric_history(run.info.run_id, "m")
            ]
            for run in runs
        },
        "versions": [int(v.version) for v in client.search_model_versions("name = 'model'")],
        "experiments": [e.name for e in client.search_experiments(view_type=ViewType.ALL)],
        "traces": traces,
        "models": models,
    }


if __name__ == "__main__":
    mlflow.set_tracking_uri(sys.argv[1])
    old = mlflow.MlflowClient(sys.argv[1], sys.argv[1])
    print(json.dumps(read(old, fill(old))))
