"""Load a registered model and print its predictions for five rows.

    python load_and_predict.py --tracking-uri http://localhost:5000

Run it against the registry a model came from and the one it was moved to: the lines must be equal.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

import mlflow
from sklearn.datasets import load_diabetes

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL_URI = "models:/rf_regressor/Production"
ROWS = 5


def predict(tracking_uri: str, model_uri: str = MODEL_URI, rows: int = ROWS) -> list[float]:
    """Return a registered model's predictions for the first rows of the diabetes data.

    Args:
        tracking_uri: the MLflow server or database that knows the model.
        model_uri: any form that MLflow loads, such as `models:/rf_regressor@champion`.
        rows: how many rows to predict.

    """
    mlflow.set_tracking_uri(tracking_uri)
    features, _ = load_diabetes(return_X_y=True, as_frame=True)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*[Mm]odel registry stages", category=FutureWarning
        )
        model = mlflow.pyfunc.load_model(model_uri)
    return [float(value) for value in model.predict(features.head(rows))]


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. Without a tracking URI from anywhere, explain and exit with 2."""
    parser = argparse.ArgumentParser(description="Load a registered model and predict five rows.")
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"))
    parser.add_argument("--model-uri", default=MODEL_URI, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if not arguments.tracking_uri:
        parser.error("give --tracking-uri or set MLFLOW_TRACKING_URI")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and print one line for each predicted row, six digits behind the point."""
    arguments = parse_arguments(argv)
    # Opening a database is a paragraph at INFO; a warning about differing packages must show.
    logging.disable(logging.INFO)
    for row, value in enumerate(predict(arguments.tracking_uri, arguments.model_uri)):
        print(f"row {row}: {value:.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
