"""`rebuild`: a registry out of artifact files alone.

The files are described as a file store would describe them, in a temporary folder that names them
where they are; from there on it is a copy like any other: planned, read back, repeatable.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from mlporter.artifacts.disk.presence import is_folder
from mlporter.artifacts.listing import FoundFile
from mlporter.artifacts.registry_from_files import tree_of
from mlporter.artifacts.uris.allowed_folders import Roots
from mlporter.artifacts.uris.layout import (
    experiment_root,
    logged_model_root,
    run_root,
    version_root,
)
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.errors import BundleDamagedError, LeftOut, UnreachableError, UsageError
from mlporter.execute.result import LeftOutSummary, Result
from mlporter.progress import OnProgress, Phases, silent, without_phases
from mlporter.redaction import redact
from mlporter.stores.addresses.address import AddressKind, place_text
from mlporter.stores.addresses.environment import environment_of
from mlporter.stores.addresses.file_store_folders import is_file_store
from mlporter.stores.addresses.locating import locate
from mlporter.stores.artifact_places.places import open_place
from mlporter.stores.opening import allowed_folder
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.moving.import_ import copy
from mlporter.wording import command_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.artifacts.places import Place as Folder
    from mlporter.artifacts.registry_from_files import Experiment, LoggedModel, Run, Tree
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["rebuild"]

_MOST = 1 << 20
"""Bytes of an ``MLmodel`` file that are read; MLflow's have a few thousand."""
_FINDING = "finding runs and models"
_COPYING = "copying"
_CANNOT = (
    "Files do not contain parameters, metrics, tags, users, names of experiments, runs and logged "
    "models, aliases and stages: they are not there. Times are those of models and files."
)


def rebuild(
    folder: Place,
    target: Place,
    *,
    artifact_root: Place | None = None,
    allow_root: Sequence[Place] = (),
    register: Sequence[str] = (),
    dry_run: bool = False,
    workers: int = 4,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    target_env: str | None = None,
    on_progress: OnProgress = silent,
) -> Result:
    """Make experiments, runs, logged models and versions out of artifact files.

    Memory grows with the number of files. Run again, it finds what it made.

    Args:
        folder: An artifact root in MLflow's layout: a folder, or a URI of an object store.
        target: Address of a database or a server.
        artifact_root: Copy the files there; without it a database names them where they are.
        allow_root: Folders of this machine that links in the folder may lead to.
        register: ``NAME=MODEL_ID`` pairs: logged models that become versions of NAME, in order.
        dry_run: Plan, and write nothing.
        workers: Files that are written at a time.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the variables of `folder` alone begin with, such as ``DEV_``.
        target_env: The same of the target.
        on_progress: Called with how far it is.

    Raises:
        UsageError: the folder holds nothing in MLflow's layout, or is a file store; or a model
            that is to be registered is not in it.
        UnreachableError: the folder or the target cannot be reached.
        ConflictError: the target has something else under an id or a name.
    """
    root, to = _root(place_text(folder)), locate(target, target_env)
    allowed = (*allow_root, *([root] if local_path(root) else []))
    place = open_place(
        root,
        roots=Roots.of(map(allowed_folder, allowed)),
        environment=environment_of(source_env or ""),
    )
    phases = Phases(on_progress, (_FINDING, _COPYING))
    phases.begin(_FINDING)
    lost: list[LeftOut] = []
    tree = tree_of(_files_in(place, root, lost), lambda path: _described(place, path, lost))
    _check_found(tree, root)
    lost += [
        LeftOut(
            "folder",
            name,
            "",
            "unknown",
            f"{plural(count, 'file is', 'files are')} of nothing in MLflow's layout",
        )
        for name, count in sorted(tree.unknown.items())
    ]
    models = _registered(tree, register)
    phases.begin(_COPYING)
    copies = artifact_root is not None or to.kind is AddressKind.SERVER
    with TemporaryDirectory(prefix="mlporter-rebuild-") as scratch:
        _describe(tree, Path(scratch), root, models)
        result = copy(
            scratch,
            target,
            artifact_root=artifact_root,
            allow_root=allowed,
            artifacts="copy" if copies else "reference",
            workers=workers,
            retry_time=retry_time,
            target_env=target_env,
            dry_run=dry_run,
            on_progress=without_phases(on_progress),
        )
    sides: list[tuple[str, str | bool]] = [
        ("source-env", source_env or ""),
        ("target-env", target_env or ""),
    ]
    return _told(result, root, to, sides, lost)


def _root(text: str) -> str:
    path = local_path(text)
    if path is None:
        return text.rstrip("/")
    if not is_folder(path):
        raise UnreachableError("no such folder", subject=text)
    if is_file_store(path):
        raise UsageError(
            "is a file store: its descriptions say more than its artifacts",
            subject=text,
            hint=f"mlporter copy {text} TARGET",
        )
    return str(path.absolute())


def _check_found(tree: Tree, root: str) -> None:
    if not tree.is_empty:
        return
    inside = next((name for name in ("mlruns", "mlartifacts") if name in tree.unknown), None)
    raise UsageError(
        "holds no run, logged model or version in MLflow's layout",
        subject=redact(root),
        hint=f"did you mean {redact(root)}/{inside}?"
        if inside
        else "name the artifact root: <experiment id>/<run id>/artifacts lies directly below it",
    )


def _files_in(place: Folder, root: str, lost: list[LeftOut]) -> Iterator[FoundFile]:
    """All files of a place; what cannot be listed is noted."""
    for item in place.list():
        if isinstance(item, FoundFile):
            yield item
        else:
            lost.append(
                LeftOut("artifact", root, item.path, item.reason, item.detail, item.expected)
            )


def _described(place: Folder, path: str, lost: list[LeftOut]) -> dict[str, Any]:
    """What an ``MLmodel`` file says; where it cannot be read, that is noted."""
    try:
        with place.open(path) as file:
            found = load_yaml(file.read(_MOST + 1), path)
    except (OSError, BundleDamagedError, UnreachableError) as error:
        lost.append(
            LeftOut("artifact", path.rpartition("/")[0], "MLmodel", "unreadable", str(error))
        )
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _registered(tree: Tree, register: Sequence[str]) -> dict[tuple[str, int], LoggedModel]:
    """Versions that were asked for, by name and number: after those that are there."""
    logged = {m.id: m for e in tree.experiments.values() for m in e.models.values()}
    found: dict[tuple[str, int], LoggedModel] = {}
    for pair in register:
        name, equals, model = pair.rpartition("=")
        if not equals or not name or not model:
            raise UsageError(f"--register takes NAME=MODEL_ID, not {pair!r}")
        if model not in logged:
            raise UsageError(
                f"there is no logged model {model!r} in the folder",
                hint=f"there is, for example, {next(iter(logged))}" if logged else None,
            )
        taken = [number for n, number in (*tree.versions, *found) if n == name]
        found[name, max(taken, default=0) + 1] = logged[model]
    return found


def _describe(
    tree: Tree, store: Path, root: str, models: dict[tuple[str, int], LoggedModel]
) -> None:
    homes: dict[str, str] = {}
    for experiment in tree.experiments.values():
        homes |= {model: logged_model_root(experiment_root(root, experiment.number), model)
                  for model in experiment.models}  # fmt: skip
        _describe_experiment(experiment, store, root)
    for name in {name for name, _ in (*tree.versions, *models)}:
        _write(store / "models" / _folder(name) / "meta.yaml", {"name": name})
    for (name, number), version in tree.versions.items():
        place = version_root(root, name, number)
        _version(store, name, number, place, place, version.run, version.first, version.last)
    for (name, number), model in models.items():
        source = f"models:/{model.id}"
        _version(store, name, number, source, homes[model.id], model.run, model.first, model.last)


def _describe_experiment(experiment: Experiment, store: Path, root: str) -> None:
    number = experiment.number
    place, folder = experiment_root(root, number), store / str(number)
    times = [run.first for run in experiment.runs.values() if run.first]
    times += [model.first for model in experiment.models.values() if model.first]
    _write(folder / "meta.yaml", {
        "artifact_location": place,
        "creation_time": min(times, default=None),
        "experiment_id": str(number),
        "last_update_time": min(times, default=None),
        "lifecycle_stage": "active",
        "name": "Default" if number == 0 else f"rebuilt-{number}",
    })  # fmt: skip
    for run in experiment.runs.values():
        _describe_run(run, folder, place, number)
    for model in experiment.models.values():
        _write(folder / "models" / model.id / "meta.yaml", {
            "artifact_location": logged_model_root(place, model.id),
            "creation_timestamp": model.first,
            "experiment_id": str(number),
            "last_updated_timestamp": model.last,
            "lifecycle_stage": "active",
            "model_id": model.id,
            "name": "model",
            "source_run_id": model.run,
            "status": 2 if model.described else 1,
        })  # fmt: skip
        if model.run in experiment.runs:
            _write(folder / str(model.run) / "outputs" / model.id / "meta.yaml", {
                "destination_id": model.id,
                "destination_type": "MODEL_OUTPUT",
                "source_id": model.run,
                "source_type": "RUN_OUTPUT",
                "step": 0,
                "tags": {},
            })  # fmt: skip


def _describe_run(run: Run, folder: Path, place: str, number: int) -> None:
    _write(folder / run.id / "meta.yaml", {
        "artifact_uri": run_root(place, run.id),
        "end_time": run.last,
        "experiment_id": str(number),
        "lifecycle_stage": "active",
        "run_id": run.id,
        "run_name": f"rebuilt-{run.id[:8]}",
        "start_time": run.first,
        "status": 3,
        "user_id": "",
    })  # fmt: skip
    tags = {"mlporter.rebuilt": "true", "mlflow.runName": f"rebuilt-{run.id[:8]}"}
    if run.history:
        tags["mlflow.log-model.history"] = json.dumps(run.history)
    for name in ("metrics", "params", "tags"):
        (folder / run.id / name).mkdir(exist_ok=True)
    for key, value in tags.items():
        (folder / run.id / "tags" / key).write_text(value, encoding="utf-8")


def _version(  # noqa: PLR0917 -- what a version is
    store: Path,
    name: str,
    number: int,
    source: str,
    place: str,
    run: str | None,
    first: int | None,
    last: int | None,
) -> None:
    _write(store / "models" / _folder(name) / f"version-{number}" / "meta.yaml", {
        "creation_timestamp": first,
        "current_stage": "None",
        "last_updated_timestamp": last,
        "name": name,
        "run_id": run,
        "source": source,
        "status": "READY",
        "storage_location": place,
        "version": number,
    })  # fmt: skip


def _folder(name: str) -> str:
    """A folder for any name: its description says what it is called."""
    return name.encode().hex()[:200]


def _write(path: Path, fields: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {name: value for name, value in fields.items() if value is not None}
    path.write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")


def _told(
    result: Result,
    root: str,
    target: Address,
    sides: list[tuple[str, str | bool]],
    lost: list[LeftOut],
) -> Result:
    found = result.left_out
    summary = LeftOutSummary(
        found.total + len(lost),
        found.unexpected + sum(not item.expected for item in lost),
        (*lost, *found.first)[: max(len(found.first), 1000)],
    )
    following = command_line("inspect", [target.as_typed], [("source-env", sides[1][1])])
    if result.dry_run:
        following = command_line("rebuild", [root, target.as_typed], sides)
    return replace(
        result,
        verb="rebuild",
        source=redact(root),
        left_out=summary,
        notes=(*result.notes, _CANNOT),
        next_command=following,
    )
