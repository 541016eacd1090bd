"""File stores: folders written by this code in any shape, and by MLflow itself."""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the many tests without it can save
from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.mlflow_session import environment, file_uri, mlflow_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIME = 1_700_000_000_000


@dataclass
class FolderStore:
    """Writes the folders of a file store, as MLflow does unless told otherwise."""

    root: Path
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**6)))

    def experiment(
        self, number: str = "1", name: str | None = None, *, trash: bool = False, **fields: Any
    ) -> Path:
        """An experiment; fields that are None are left out of its description."""
        folder = self.root / ".trash" / number if trash else self.root / number
        description = {
            "artifact_location": file_uri(str(self.root / number)),
            "creation_time": TIME,
            "experiment_id": number,
            "last_update_time": TIME,
            "lifecycle_stage": "active",
            "name": name or f"experiment {number}",
            **fields,
        }
        write_yaml(folder / "meta.yaml", description)
        return folder

    def run(self, experiment: Path, run: str = "", **fields: Any) -> Path:
        """A run, with the empty folders that git would drop."""
        run = run or f"{next(self._numbers):032x}"
        folder = experiment / run
        description = {
            "artifact_uri": file_uri(str(folder / "artifacts")),
            "end_time": TIME + 60_000,
            "entry_point_name": "",
            "experiment_id": experiment.name,
            "lifecycle_stage": "active",
            "run_id": run,
            "run_name": f"run {run[-2:]}",
            "run_uuid": run,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": TIME,
            "status": 3,
            "tags": [],
            "user_id": "somebody",
            **fields,
        }
        write_yaml(folder / "meta.yaml", description)
        for name in ("artifacts", "metrics", "params", "tags"):
            (folder / name).mkdir()
        return folder


def write_yaml(path: Path, description: Mapping[str, Any]) -> None:
    """A description, without the fields that are None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in description.items() if value is not None}
    path.write_text(yaml.safe_dump(kept, allow_unicode=True), encoding="utf-8")


def put(path: Path, content: str | bytes) -> Path:
    """A file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def build_with_mlflow(root: Path) -> None:
    """Fill a folder by MLflow's own file stores, with one of everything that they take."""
    import mlflow
    from mlflow import MlflowClient

    allowed = {"MLFLOW_ALLOW_FILE_STORE": "true"}
    with environment(allowed), mlflow_at(file_uri(str(root))), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = MlflowClient()
        experiment = client.create_experiment("files", tags={"team": "a/b", "empty": ""})
        mlflow.set_experiment(experiment_id=experiment)
        run = _run(client)
        _models(client, run)
        _traces(client, experiment, run)
        client.set_terminated(run, "FAILED")
        client.delete_run(client.create_run(experiment).info.run_id)
        gone = client.create_experiment("gone")
        client.create_run(gone, run_name="in the trash")
        client.delete_experiment(gone)


def _run(client: Any) -> str:
    import mlflow
    import pandas as pd

    with mlflow.start_run(run_name="parent") as parent:
        run: str = parent.info.run_id
        mlflow.log_params({"lr": 0.1, "nested/key": "x", "a key: b": "  padded\nlines  "})
        for step, value in enumerate([0.5, float("nan"), float("inf"), 1e-300, -0.5]):
            mlflow.log_metric("loss", value, step=step)
        mlflow.log_metric("nested/metric", 3, step=-2)
        mlflow.set_tags({"a tag": "ß", "mlflow.note.content": "# note"})
        data = mlflow.data.from_pandas(pd.DataFrame({"x": [1, 2]}), name="d", source="d.csv")
        mlflow.log_input(data, context="training")
        mlflow.log_text("hello", "folder/file.txt")
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("loss", 1.5)
    return run


def _models(client: Any, run: str) -> None:
    import mlflow
    from mlflow.entities import LoggedModelOutput

    with mlflow.start_run():
        model = mlflow.initialize_logged_model("model", params={"depth": "3"}, tags={"k": "v"})
        mlflow.log_metric("acc", 0.75, step=1, model_id=model.model_id)
        with TemporaryDirectory() as folder:
            client.log_model_artifact(model.model_id, str(put(Path(folder, "weights"), "1 2 3")))
        mlflow.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=7)])
    source = client.get_run(run).info.artifact_uri + "/folder"
    client.create_registered_model("registered", tags={"t": "1"}, description="all of it")
    for _ in range(3):
        client.create_model_version("registered", source, run, tags={"n": "x"}, description="one")
    client.transition_model_version_stage("registered", "1", "Production")
    client.set_registered_model_alias("registered", "champion", "2")
    client.delete_model_version("registered", "3")
    client.create_registered_model("without versions")
    mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first")


def _traces(client: Any, experiment: str, run: str) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource

    @mlflow.trace(name="outer", span_type="CHAIN", attributes={"mlflow.llm.model": "small"})
    def outer(x: int) -> int:
        with mlflow.start_span("inner") as span:
            span.set_inputs({"x": x})
            span.set_outputs("ünï")
        mlflow.update_current_trace(
            tags={"who": "me"}, metadata={"mlflow.trace.session": "s-1", "plain": "kept"}
        )
        return x + 1

    outer(1)
    trace = mlflow.get_last_active_trace_id()
    human = AssessmentSource("HUMAN", "somebody")
    mlflow.log_feedback(trace_id=trace, name="good", value=0.5, source=human, rationale="why")
    mlflow.log_feedback(trace_id=trace, name="yes", value="yes", metadata={"a": "b"})
    mlflow.log_expectation(trace_id=trace, name="answer", value={"is": [1, 2]}, source=human)
