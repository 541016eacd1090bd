"""Loads a model in a fresh process, from both sides, and compares what it predicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.disk.copying import copy_and_hash
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.protocols import Source

__all__ = ["check_load", "model_folder"]

_SCRIPT = """
import json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.INFO)
import mlflow
import numpy, pandas
uri, out = sys.argv[1:]
model = mlflow.pyfunc.load_model(uri)
example = model.input_example
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
found = {"loads": True}
if example is not None:
    found["predicts"] = plain(model.predict(example))
with open(out, "w", encoding="utf-8") as file:
    json.dump(found, file)
"""
_LINES = 3


def check_load(  # noqa: PLR0913 -- both sides
    source: Source,
    facts: VersionFacts,
    *,
    uri: str,
    tracking: str,
    environment: Mapping[str, str],
    subject: str,
) -> str:
    """Load the model from the target as its users do, and from the source's files.

    Args:
        source: The source.
        facts: The version there.
        uri: What the target calls the version, or a folder with its files.
        tracking: The target's tracking URI; "" where `uri` is a folder.
        environment: Variables by which the target is reached.
        subject: The version, for errors.

    Returns:
        What was found, in a few words.

    Raises:
        RefusedError: it does not load in the target, or predicts otherwise than in the source.
    """
    with tempfile.TemporaryDirectory(prefix="mlporter-load-") as scratch:
        there = _load(uri, tracking, environment, Path(scratch, "there.json"), subject)
        with model_folder(source, facts) as folder:
            here = _load(str(folder), "", {}, Path(scratch, "here.json"), f"{facts} at the source")
    if "predicts" not in there:
        return "loads; it has no input example to predict"
    if here.get("predicts") != there["predicts"]:
        raise RefusedError(
            "predicts differently in the target than in the source; alias and stage did not move",
            subject=subject,
            reasons=(
                f"source: {here.get('predicts')!s:.300}",
                f"target: {there['predicts']!s:.300}",
            ),
        )
    return "loads, and predicts the same on its input example"


def _load(
    uri: str, tracking: str, environment: Mapping[str, str], out: Path, subject: str
) -> dict[str, Any]:
    # An address may hold a password, which is nobody's business in a list of processes.
    places = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_REGISTRY_URI": tracking} if tracking else {}
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "-c", _SCRIPT, uri, os.fspath(out)],
        env={**os.environ, **environment, **places},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not out.exists():
        said = [line for line in done.stderr.splitlines() if line.strip()][-_LINES:]
        raise RefusedError(
            "does not load; alias and stage did not move",
            subject=subject,
            hint="the process needs what the model needs: install its requirements.txt here",
            reasons=tuple(said),
        )
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


@contextmanager
def model_folder(
    source: Source, facts: VersionFacts, without: tuple[str, ...] = ()
) -> Iterator[Path]:
    """The model's files in a temporary folder, as long as it is needed; but for some."""
    with tempfile.TemporaryDirectory(prefix="mlporter-model-") as scratch:
        folder = Path(scratch, "model")
        for one in facts.files:
            if one.path in without:
                continue
            if not safe_relative(one.path):
                raise RefusedError("the path of an artifact is not safe", subject=one.path)
            path = folder.joinpath(*one.path.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            with source.open_file(one.file) as stream, path.open("wb") as file:
                copy_and_hash(stream, file)
        yield folder
