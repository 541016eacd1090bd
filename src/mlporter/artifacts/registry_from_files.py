"""What artifact files alone say of a registry: MLflow's folder layout, and ``MLmodel`` files.

    <experiment id>/<run id>/artifacts/…                    a run
    <experiment id>/models/<model id>/artifacts/…           a logged model
    registered_models/<name>/<version>/…                    a version with files of its own

An ``MLmodel`` file says which run made the model and when, its flavors and its signature. A run
that logged nothing but models (MLflow 3) has no folder, and is known by its models.
Sources: `mlflow.models.Model.to_dict` of MLflow 2.22 and 3.17, and
`mlporter.artifacts.uris.layout`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlporter.artifacts.listing import FoundFile

__all__ = ["Experiment", "LoggedModel", "Run", "Tree", "Version", "tree_of"]

_RUN = re.compile(r"(\d+)/([0-9a-f]{32})/artifacts/(.+)")
_MODEL = re.compile(r"(\d+)/models/(m-[0-9a-z]+)/artifacts/(.+)")
_VERSION = re.compile(r"registered_models/([^/]+)/(\d+)/(.+)")
_OTHER = re.compile(r"(\d+/traces/[^/]+|workspaces/[^/]+|[^/]+)")
_ML_MODEL = "MLmodel"
_LOAD_MARK = "registered_model_meta"
"""MLflow writes it when it loads a model from a folder: it says nothing of when that was made."""
_RUN_ID = re.compile(r"[0-9a-f]{32}")

Described = Callable[[str], dict[str, Any]]
"""Reads the ``MLmodel`` file at a path; an empty mapping where it says nothing."""


@dataclass
class Run:
    """A run: times in milliseconds since the epoch, and the models below its own artifacts."""

    id: str
    first: int | None = None
    last: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class LoggedModel:
    """A logged model, and the run that made it, if it says so."""

    id: str
    run: str | None = None
    first: int | None = None
    last: int | None = None
    described: bool = False


@dataclass
class Experiment:
    """An experiment's folder, and what lies in it."""

    number: int
    runs: dict[str, Run] = field(default_factory=dict)
    models: dict[str, LoggedModel] = field(default_factory=dict)


@dataclass
class Version:
    """A version of a registered model with files of its own."""

    name: str
    number: int
    run: str | None = None
    first: int | None = None
    last: int | None = None


@dataclass
class Tree:
    """What some files say.

    Attributes:
        experiments: By number.
        versions: By name and number.
        unknown: Folders whose files are of none of these, with how many files each holds.
    """

    experiments: dict[int, Experiment] = field(default_factory=dict)
    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def experiment(self, number: int) -> Experiment:
        """That experiment, made if it is new."""
        return self.experiments.setdefault(number, Experiment(number))

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a registry was found."""
        return not (self.experiments or self.versions)


def tree_of(files: Iterable[FoundFile], described: Described) -> Tree:
    """Tell what files are of; only ``MLmodel`` files are read."""
    tree = Tree()
    for file in files:
        _add(tree, file, described)
    for experiment in tree.experiments.values():
        for model in experiment.models.values():
            if model.run and not any(model.run in e.runs for e in tree.experiments.values()):
                experiment.runs[model.run] = Run(model.run, model.first, model.last)
    return tree


def _add(tree: Tree, file: FoundFile, described: Described) -> None:
    if found := _RUN.fullmatch(file.path):
        experiment = tree.experiment(int(found[1]))
        run = experiment.runs.setdefault(found[2], Run(found[2]))
        _lived(run, file)
        if found[3].rpartition("/")[2] == _ML_MODEL and "/" in found[3]:
            model = described(file.path)
            if model:
                run.history.append(_history(model, found[2], found[3].rpartition("/")[0]))
                _made(run, model)
    elif found := _MODEL.fullmatch(file.path):
        logged = tree.experiment(int(found[1])).models.setdefault(found[2], LoggedModel(found[2]))
        _lived(logged, file)
        if found[3] == _ML_MODEL and (model := described(file.path)):
            logged.described, logged.run = True, _run_of(model)
            _made(logged, model)
    elif found := _VERSION.fullmatch(file.path):
        key = (_unquoted(found[1]), int(found[2]))
        version = tree.versions.setdefault(key, Version(*key))
        _lived(version, file)
        if found[3] == _ML_MODEL and (model := described(file.path)):
            version.run = _run_of(model)
            _made(version, model)
    else:
        other = _OTHER.match(file.path)
        place = other[1] if other else file.path
        tree.unknown[place] = tree.unknown.get(place, 0) + 1


def _lived(thing: Run | LoggedModel | Version, file: FoundFile) -> None:
    """A local file's stamp is its size and its time in nanoseconds."""
    time = file.stamp.rpartition("-")[2]
    if time.isdigit() and file.path.rpartition("/")[2] != _LOAD_MARK:
        _seen(thing, int(time) // 1_000_000)


def _made(thing: Run | LoggedModel | Version, model: dict[str, Any]) -> None:
    """MLflow writes the time without a zone; it is UTC."""
    try:
        moment = datetime.fromisoformat(str(model.get("utc_time_created")))
    except ValueError:
        return
    _seen(thing, int(moment.replace(tzinfo=timezone.utc).timestamp() * 1000))


def _seen(thing: Run | LoggedModel | Version, time: int) -> None:
    thing.first = time if thing.first is None else min(thing.first, time)
    thing.last = time if thing.last is None else max(thing.last, time)


def _run_of(model: dict[str, Any]) -> str | None:
    run = model.get("run_id")
    return run if isinstance(run, str) and _RUN_ID.fullmatch(run) else None


def _history(model: dict[str, Any], run: str, path: str) -> dict[str, Any]:
    """An entry of the tag ``mlflow.log-model.history``, by which MLflow 2 shows a run's models."""
    return {**model, "run_id": run, "artifact_path": path}


def _unquoted(name: str) -> str:
    """A name from `mlporter.artifacts.uris.layout.quote_name`."""
    raw = re.sub(r"=([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name)
    try:
        return raw.encode("latin-1").decode()
    except UnicodeError:
        return name
