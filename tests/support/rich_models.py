"""Logged models, registered models and their versions, in every shape that MLflow knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    RunTag,
)
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sklearn.linear_model import LinearRegression

from .mlflow_session import file_uri, join_uri, mlflow_at
from .rich_runs import AWKWARD_TEXT, LONG_AGO, start_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVED_MODEL = Path(__file__).with_name("served_model.py")

#: What every pyfunc model here accepts, and so what tests can ask them on both sides of a move.
EXAMPLE_INPUT: list[float] = [1.0, 2.5, -3.0]

MODEL_NAME = "rich-model"
AWKWARD_MODEL_NAME = "Modèle 🎯 100% #1"
EMPTY_MODEL_NAME = "no versions"
RUNLESS_MODEL_NAME = "versions without runs"

#: Version number → factor of the multiplier behind it. 2 and 5 were deleted; 4 is the second of
#: three models of one run, so that loading that run's first model instead is noticed.
VERSION_FACTORS = {1: 2.0, 3: 3.0, 4: 4.0}


@dataclass(frozen=True)
class RichModels:
    """Ids, names and version numbers of the interesting models."""

    run_id: str
    """The run that logged `first_model_id`, `second_model_id` and `sklearn_model_id`."""
    first_model_id: str
    """pyfunc, factor 3; params, tags, metrics; version 3."""
    second_model_id: str
    """pyfunc, factor 4; version 4."""
    sklearn_model_id: str
    """Linear regression y = 2x, not registered."""
    metrics_run_id: str
    """Logged metrics of `first_model_id` on dataset ``holdout``, with that model as its input."""
    bare_model_id: str
    """No run, no artifacts, READY, unicode name."""
    pending_model_id: str
    failed_model_id: str
    deleted_model_id: str
    legacy_run_id: str
    """MLflow 2 style: ``model/`` in the run's artifacts (factor 2), tag log-model.history."""
    name: str
    """The main registered model, `VERSION_FACTORS`."""
    stages: dict[str, str]
    """Version → stage, of the versions that are not deleted."""
    deleted_versions: tuple[str, str]
    """A gap in the middle, and one at the end."""
    aliases: dict[str, str]
    """Alias → version."""
    awkward_name: str
    """One version, unicode everywhere."""
    empty_name: str
    runless_name: str
    """Version 1: plain path inside the root, 2: its own folder as ``file://`` URI, no run id;
    3: run id of a run that does not exist."""
    runless_locations: dict[str, str]
    """Version → path below the artifact root."""


def build_models(client: MlflowClient, experiment: str, root: Path | str) -> RichModels:
    """Make all of it, in ``experiment``; ``root`` is where external version folders go."""
    run_id, first, second, sklearn = _three_models_in_one_run(experiment)
    legacy = _legacy_model_run(client, experiment)
    stages = _main_model(client, legacy, run_id, first, second)
    _awkward_model(client, run_id, second)
    client.create_registered_model(EMPTY_MODEL_NAME)
    bare, pending, failed, deleted = _models_without_files(client, experiment)
    return RichModels(
        run_id=run_id,
        first_model_id=first,
        second_model_id=second,
        sklearn_model_id=sklearn,
        metrics_run_id=_evaluation_run(client, experiment, first),
        bare_model_id=bare,
        pending_model_id=pending,
        failed_model_id=failed,
        deleted_model_id=deleted,
        legacy_run_id=legacy,
        name=MODEL_NAME,
        stages=stages,
        deleted_versions=("2", "5"),
        aliases=_aliases(client),
        awkward_name=AWKWARD_MODEL_NAME,
        empty_name=EMPTY_MODEL_NAME,
        runless_name=RUNLESS_MODEL_NAME,
        runless_locations=_versions_without_runs(client, root),
    )


def log_multiplier(name: str, factor: float, **extra: Any) -> str:
    """Log a pyfunc model in the active run; returns its model id."""
    info = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(SERVED_MODEL),
        model_config={"factor": factor},
        # Naming requirements saves MLflow from loading the model in a second process to find out.
        pip_requirements=["mlflow"],
        **extra,
    )
    return str(info.model_id)


def _save_multiplier(folder: Path, factor: float, model: Model | None = None) -> None:
    mlflow.pyfunc.save_model(
        path=folder,
        python_model=str(SERVED_MODEL),
        model_config={"factor": factor},
        pip_requirements=["mlflow"],
        mlflow_model=model,
    )


def _three_models_in_one_run(experiment: str) -> tuple[str, str, str, str]:
    """Several models in one run, with steps: which of them a version means is easily mixed up."""
    with mlflow.start_run(experiment_id=experiment, run_name="three models") as run:
        first = log_multiplier(
            "multiplier", 3.0, params={"factor": 3, "empty": ""}, tags={"awkward": AWKWARD_TEXT}
        )
        second = log_multiplier("multiplier", 4.0, step=7)
        regression = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
        sklearn = mlflow.sklearn.log_model(
            regression, name="linear", pip_requirements=["scikit-learn"]
        ).model_id
    return run.info.run_id, first, second, str(sklearn)


def _evaluation_run(client: MlflowClient, experiment: str, model_id: str) -> str:
    """A run that takes a model as input and logs metrics on it, with and without a dataset."""
    run_id = start_run(client, experiment, "evaluation")
    holdout = Dataset(name="holdout", digest="h1", source_type="local", source='{"uri": "/x"}')
    client.log_inputs(run_id, [DatasetInput(holdout, [])], [LoggedModelInput(model_id)])
    metrics = [
        Metric("accuracy", 0.9, LONG_AGO, 1, model_id, "holdout", "h1"),
        Metric("accuracy", 0.8, LONG_AGO + 1, 0, model_id, "holdout", "h1"),
        Metric("no dataset", -1e-9, LONG_AGO, 0, model_id),
        Metric("of the run only", 1.0, LONG_AGO, 0),
    ]
    client.log_batch(run_id, metrics=metrics)
    client.set_terminated(run_id, end_time=LONG_AGO + 5)
    return run_id


def _models_without_files(client: MlflowClient, experiment: str) -> tuple[str, str, str, str]:
    """Logged models that are only rows: ready, pending, failed, deleted."""
    bare = client.create_logged_model(
        experiment,
        name="naïve 🦆",
        tags={"empty": "", "awkward": AWKWARD_TEXT},
        params={"p": "", "long": "x" * 5000},
        model_type="Agent",
    ).model_id
    client.finalize_logged_model(bare, LoggedModelStatus.READY)
    pending = client.create_logged_model(experiment, name="pending").model_id
    failed = client.create_logged_model(experiment, name="failed").model_id
    client.finalize_logged_model(failed, LoggedModelStatus.FAILED)
    maker = start_run(client, experiment, "made a deleted model")
    deleted = client.create_logged_model(
        experiment, name="deleted", source_run_id=maker, tags={"t": "1"}
    ).model_id
    client.finalize_logged_model(deleted, LoggedModelStatus.READY)
    client.log_outputs(maker, [LoggedModelOutput(deleted, step=3)])
    client.set_terminated(maker)
    client.delete_logged_model(deleted)
    return bare, pending, failed, deleted


def _legacy_model_run(client: MlflowClient, experiment: str) -> str:
    """How MLflow 2 logged a model: files under the run, and a tag that describes it."""
    run_id = start_run(client, experiment, "MLflow 2")
    with TemporaryDirectory() as folder:
        model = Model(artifact_path="model", run_id=run_id)
        _save_multiplier(Path(folder, "model"), VERSION_FACTORS[1], model)
        client.log_artifacts(run_id, str(Path(folder, "model")), "model")
        described = {key: value for key, value in model.to_dict().items() if key != "model_id"}
    history = RunTag("mlflow.log-model.history", json.dumps([described], default=str))
    client.log_batch(run_id, tags=[history])
    client.set_terminated(run_id, end_time=LONG_AGO + 3)
    return run_id


def _main_model(
    client: MlflowClient, legacy_run: str, run_id: str, first: str, second: str
) -> dict[str, str]:
    """Five versions, of which 2 and 5 are deleted; all three stages; a source of each kind."""
    client.create_registered_model(
        MODEL_NAME, tags={"team": "ünit", "empty": ""}, description="# Prices\n🏠 " + AWKWARD_TEXT
    )
    sources: list[tuple[str, str, str | None]] = [
        (f"runs:/{legacy_run}/model", legacy_run, None),
        (f"runs:/{legacy_run}/model", legacy_run, None),
        (f"models:/{first}", run_id, first),
        (f"models:/{second}", run_id, second),
        (f"models:/{second}", run_id, second),
    ]
    for number, (source, run, model_id) in enumerate(sources, start=1):
        client.create_model_version(
            MODEL_NAME,
            source,
            run,
            model_id=model_id,
            tags={"n": str(number), "empty": "", "awkward": AWKWARD_TEXT},
            description="" if number == 1 else f"version {number}\n🎯",
            run_link="https://example.com/run?x=1#y" if number == 3 else None,
        )
    stages = {"1": "Archived", "3": "Production", "4": "Staging"}
    for version, stage in stages.items():
        client.transition_model_version_stage(MODEL_NAME, version, stage)
    for version in ("2", "5"):
        client.delete_model_version(MODEL_NAME, version)
    return stages


def _aliases(client: MlflowClient) -> dict[str, str]:
    """Two aliases on one version, one on another; one that looks nearly like a version."""
    aliases = {"champion": "3", "prod_2024-1": "3", "challenger": "4", "x1": "1"}
    for alias, version in aliases.items():
        client.set_registered_model_alias(MODEL_NAME, alias, version)
    return aliases


def _awkward_model(client: MlflowClient, run_id: str, model_id: str) -> None:
    client.create_registered_model(AWKWARD_MODEL_NAME, tags={"clé": AWKWARD_TEXT}, description="")
    client.create_model_version(
        AWKWARD_MODEL_NAME,
        f"models:/{model_id}",
        run_id,
        model_id=model_id,
        tags={"long": "x" * 20_000},
        description=AWKWARD_TEXT,
    )
    client.set_registered_model_alias(AWKWARD_MODEL_NAME, "only", "1")


def _versions_without_runs(client: MlflowClient, root: Path | str) -> dict[str, str]:
    """Registered straight from folders; a server refuses such sources, but databases hold them."""
    locations = {"1": "models by hand/v1", "2": "external é/v2", "3": "external é/v3"}
    client.create_registered_model(RUNLESS_MODEL_NAME)
    for version, path in locations.items():
        source = join_uri(root, path)
        with TemporaryDirectory() as folder:
            _save_multiplier(Path(folder, "model"), 10.0 * int(version))
            get_artifact_repository(source).log_artifacts(str(Path(folder, "model")))
        client.create_model_version(
            RUNLESS_MODEL_NAME,
            source if version == "1" else file_uri(source),
            run_id="f" * 32 if version == "3" else None,
        )
    return locations


def champion_predictions(url: str, workspace: str) -> list[float]:
    """What the champion of a workspace's rich model makes of the example input."""
    with mlflow_at(url, workspaces=True):
        mlflow.set_workspace(workspace)
        model = mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@champion")
        found = list(model.predict(EXAMPLE_INPUT))
        mlflow.set_workspace("default")
    return found
