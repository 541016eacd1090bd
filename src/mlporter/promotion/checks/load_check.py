"""Loads a model in a fresh process, from both sides, and compares what it predicts."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.copying import copy_and_hash
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import RefusedError
from mlporter.promotion.checks.fresh_load import FreshLoad, load_in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.protocols import Source

__all__ = ["check_load", "model_folder"]


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
    there = _load(uri, tracking, environment, subject)
    with model_folder(source, facts) as folder:
        here = _load(str(folder), "", {}, f"{facts} at the source")
    if not there.predicts:
        return "loads; it has no input example to predict"
    if not here.predicts or here.prediction != there.prediction:
        raise RefusedError(
            "does not predict the same in the target; alias and stage did not move",
            subject=subject,
            reasons=(f"source: {here.prediction!s:.300}", f"target: {there.prediction!s:.300}"),
        )
    return "loads, and predicts the same on its input example"


def _load(uri: str, tracking: str, environment: Mapping[str, str], subject: str) -> FreshLoad:
    # An address may hold a password, which is nobody's business in a list of processes.
    places = {"MLFLOW_TRACKING_URI": tracking, "MLFLOW_REGISTRY_URI": tracking} if tracking else {}
    found = load_in_fresh_process(uri, {**os.environ, **environment, **places})
    if not found.loads:
        raise RefusedError(
            "does not load; alias and stage did not move",
            subject=subject,
            hint="the process needs what the model needs: install its requirements.txt here",
            reasons=found.said,
        )
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
