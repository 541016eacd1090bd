"""The model that the test registries serve: multiplies by the ``factor`` it was saved with.

MLflow copies this file into the model's folder and runs it when the model is loaded ("models from
code"), so there is no pickle, and two models with different factors can be told apart by asking
them.
"""

from __future__ import annotations

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Multiplier(PythonModel):
    """``[x, …]`` → ``[factor * x, …]``."""

    def predict(  # type: ignore[override]  # MLflow also takes it without ``params``
        self, context: PythonModelContext, model_input: list[float]
    ) -> list[float]:
        """Multiply every number."""
        return [context.model_config["factor"] * number for number in model_input]


set_model(Multiplier())
