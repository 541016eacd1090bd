"""A model loaded by MLflow in a fresh process, and what it predicts on its input example."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FreshLoad", "load_in_fresh_process"]

_SCRIPT = """
import json, logging, sys, traceback, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.INFO)
import mlflow
import numpy, pandas
uri, out = sys.argv[1:]
def plain(value):
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, (pandas.DataFrame, pandas.Series)):
        return json.loads(value.to_json(orient="split", double_precision=15))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, numpy.ndarray):
        return [str(value.dtype), plain(value.tolist())]
    if isinstance(value, numpy.generic):
        return plain(value.item())
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return repr(value)
found = {}
try:
    model = mlflow.pyfunc.load_model(uri)
    example = model.input_example
    if example is not None:
        found["predicts"] = plain(model.predict(example))
except Exception as error:
    found["said"] = "".join(traceback.format_exception_only(type(error), error)).splitlines()
with open(out, "w", encoding="utf-8") as file:
    json.dump(found, file)
"""
_LINES = 3


@dataclass(frozen=True)
class FreshLoad:
    """What became of it.

    Attributes:
        loads: Whether it loads, and predicts if it has an example.
        predicts: Whether it has an input example.
        prediction: What it predicts on that, as plain values.
        said: The error, where it does not load; the last lines of it, if it has many.
    """

    loads: bool = True
    predicts: bool = False
    prediction: Any = None
    said: tuple[str, ...] = ()


def load_in_fresh_process(uri: str, environment: Mapping[str, str]) -> FreshLoad:
    """Load a model as its users do. Its code is run.

    Args:
        uri: What MLflow calls it, or a folder.
        environment: All variables of the process.
    """
    with tempfile.TemporaryDirectory(prefix="mlporter-load-") as scratch:
        out = Path(scratch, "found.json")
        done = subprocess.run(  # noqa: S603 -- our own script
            [sys.executable, "-c", _SCRIPT, uri, os.fspath(out)],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not out.exists():
            return FreshLoad(loads=False, said=_last(done.stderr.splitlines()))
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if "said" in found:
        return FreshLoad(loads=False, said=_last(found["said"]))
    return FreshLoad(predicts="predicts" in found, prediction=found.get("predicts"))


def _last(lines: list[str]) -> tuple[str, ...]:
    return tuple([line for line in lines if line.strip()][-_LINES:])
