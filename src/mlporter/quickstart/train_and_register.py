"""Train three random forests, log each as an MLflow run and register it as a model version.

    python train_and_register.py --tracking-uri http://localhost:5000

Afterwards the model `rf_regressor` has one version more in each of the stages Archived, Production
and Staging, and the alias `champion` points at the one in Production.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlflow
import sklearn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

EXPERIMENT = "rf_quickstart"
MODEL = "rf_regressor"
ALIAS = "champion"
PLOT = "plots/predicted_vs_true.png"
SEED = 42
# MLflow 3 calls a path in the run's artifacts a name.
NAMED = "artifact_path" if mlflow.__version__.startswith("2.") else "name"


@dataclass(frozen=True)
class Candidate:
    """One forest to train: its run's name, its parameters and the stage its version goes to."""

    run_name: str
    n_estimators: int
    max_depth: int
    stage: str


CANDIDATES = (
    Candidate("RandomForest_small", n_estimators=5, max_depth=2, stage="Archived"),
    Candidate("RandomForest_baseline", n_estimators=50, max_depth=5, stage="Production"),
    Candidate("RandomForest_deep", n_estimators=50, max_depth=10, stage="Staging"),
)


@dataclass(frozen=True)
class Data:
    """scikit-learn's diabetes data (442 patients, 10 columns), split for training and testing."""

    train_x: pd.DataFrame
    test_x: pd.DataFrame
    train_y: pd.Series
    test_y: pd.Series


def load_data() -> Data:
    """Load the bundled data set and keep a quarter of it for testing."""
    features, target = load_diabetes(return_X_y=True, as_frame=True)
    train_x, test_x, train_y, test_y = train_test_split(
        features, target, test_size=0.25, random_state=SEED
    )
    return Data(train_x, test_x, train_y, test_y)


def plot_predictions(true: pd.Series, predicted: np.ndarray) -> Figure:
    """Draw a scatter plot of predicted over true values, with the line of perfect prediction."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(true, predicted, s=12, alpha=0.7)
    axes.axline((float(true.mean()), float(true.mean())), slope=1, color="black", linewidth=1)
    axes.set(xlabel="true disease progression", ylabel="predicted", title=MODEL)
    return figure


def log_run(candidate: Candidate, data: Data) -> int:
    """Train one candidate inside its own run and return the number of its new model version."""
    with mlflow.start_run(run_name=candidate.run_name):
        mlflow.set_tag("purpose", "quickstart")
        mlflow.log_params(
            {"n_estimators": candidate.n_estimators, "max_depth": candidate.max_depth}
        )
        forest = RandomForestRegressor(
            n_estimators=candidate.n_estimators, max_depth=candidate.max_depth, random_state=SEED
        ).fit(data.train_x, data.train_y)
        predicted = forest.predict(data.test_x)
        mlflow.log_metric("rmse", root_mean_squared_error(data.test_y, predicted))
        mlflow.log_figure(plot_predictions(data.test_y, predicted), PLOT)
        mlflow.sklearn.log_model(
            forest,
            **{NAMED: "model"},
            signature=infer_signature(data.test_x, predicted),
            input_example=data.test_x.head(2),
            registered_model_name=MODEL,
            # The default of MLflow 3.17, skops, refuses forests unless told to trust their trees.
            serialization_format="cloudpickle",
            # Named here, because finding them out takes MLflow several seconds per model.
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )
    versions = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
    return max(int(version.version) for version in versions)


def set_stage(client: mlflow.MlflowClient, version: int, stage: str) -> None:
    """Move a version to a stage. MLflow calls stages deprecated, but many registries use them."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*[Mm]odel registry stages", category=FutureWarning
        )
        client.transition_model_version_stage(MODEL, str(version), stage)


def describe_version(client: mlflow.MlflowClient, version: int, candidate: Candidate) -> None:
    """Give a version its stage, tags, description and, in Production, the alias."""
    set_stage(client, version, candidate.stage)
    client.update_model_version(
        MODEL,
        str(version),
        description=f"{candidate.n_estimators} trees of depth {candidate.max_depth} at most.",
    )
    client.set_model_version_tag(MODEL, str(version), "validated_by", "quickstart")
    if candidate.stage == "Production":
        client.set_registered_model_alias(MODEL, ALIAS, str(version))


def train_and_register(tracking_uri: str, artifact_location: str | None = None) -> list[int]:
    """Train, log and register every candidate, and return the new version numbers in that order.

    Args:
        tracking_uri: the MLflow server or database to write to.
        artifact_location: where a newly created experiment keeps its files; the server's own
            choice if None.

    """
    mlflow.set_tracking_uri(tracking_uri)
    client = mlflow.MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT, artifact_location=artifact_location)
    mlflow.set_experiment(EXPERIMENT)
    data = load_data()
    versions = []
    for candidate in CANDIDATES:
        version = log_run(candidate, data)
        describe_version(client, version, candidate)
        versions.append(version)
    client.update_registered_model(MODEL, description="Disease progression after one year.")
    client.set_registered_model_tag(MODEL, "team", "quickstart")
    return versions


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. Without a tracking URI from anywhere, explain and exit with 2."""
    parser = argparse.ArgumentParser(description="Train and register three small models.")
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"))
    parser.add_argument("--artifact-location", help="for a new experiment (default: the server's)")
    arguments = parser.parse_args(argv)
    if not arguments.tracking_uri:
        parser.error("give --tracking-uri or set MLFLOW_TRACKING_URI")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and print one line for each new version."""
    arguments = parse_arguments(argv)
    # Every database migration and a paragraph on pickles per model; failures raise regardless.
    logging.disable(logging.WARNING)
    # MLflow prints two lines per run between ours when it talks to a server.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    versions = train_and_register(arguments.tracking_uri, arguments.artifact_location)
    for version, candidate in zip(versions, CANDIDATES, strict=True):
        print(f"{MODEL} version {version}: {candidate.run_name}, {candidate.stage}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
