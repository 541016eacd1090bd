"""A restore drill: a backup restored into a scratch, where MLflow counts and loads some models."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.layout import DEFAULT_WORKSPACE
from mlporter.artifacts.uris.ownership import DELETED_STAGE, Where
from mlporter.browsing.scratch import has_workspaces
from mlporter.errors import UnreachableError
from mlporter.promotion.checks.facts import read_facts
from mlporter.promotion.checks.fresh_load import load_in_fresh_process
from mlporter.stores.opening import open_source
from mlporter.stores.rows.version_locations import locations_of, rows_of
from mlporter.verbs.backups.browse import browse_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["RestoreTest", "TriedModel", "restore_test"]

_SCRIPT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import mlflow
from mlflow.entities import ViewType
client = mlflow.MlflowClient()
def found(ask, **asked):
    token = None
    while True:
        page = ask(max_results=1000, page_token=token, **asked)
        yield from page
        token = page.token
        if not token:
            return
counts = dict.fromkeys(("experiments", "runs", "registered_models", "model_versions"), 0)
for workspace in json.loads(sys.argv[1]):
    if workspace:
        mlflow.set_workspace(workspace)
    ids = [one.experiment_id for one in found(client.search_experiments, view_type=ViewType.ALL)]
    counts["experiments"] += len(ids)
    for at in range(0, len(ids), 100):
        some = {"experiment_ids": ids[at : at + 100], "run_view_type": ViewType.ALL}
        counts["runs"] += sum(1 for _ in found(client.search_runs, **some))
    counts["registered_models"] += sum(1 for _ in found(client.search_registered_models))
    counts["model_versions"] += sum(1 for _ in found(client.search_model_versions))
print(json.dumps(counts))
"""
_PROMPT = ("mlflow.prompt.is_prompt", "true")
_PYFUNC = "python_function"
_TRIES = 10
"""For each model that is wanted, how many are looked at for one that can be loaded."""
_OTHERS = ("MLFLOW_", "_MLFLOW_")


@dataclass(frozen=True)
class TriedModel:
    """A model version that was loaded from what was restored.

    ``outcome`` says in a few words what became of it; ``said`` is the last of what MLflow said.
    """

    name: str
    outcome: str
    loads: bool = True
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreTest:
    """What MLflow saw of a restored backup.

    Attributes:
        expected: Experiments, runs, models and versions (without prompts) of the backup.
        found: The same as MLflow's client counts them.
        models: Those that were loaded.
        notes: What MLflow did not get to see, and why.
    """

    expected: dict[str, int]
    found: dict[str, int]
    models: tuple[TriedModel, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Its part of the object that ``--json`` prints."""
        return asdict(self)


def restore_test(
    place: Address, check: VerifyReport, models: int, on_progress: OnProgress
) -> RestoreTest:
    """Restore into a scratch database, let MLflow count, and load some models, chosen by chance.

    Files are served from where they are, and only those of these models are read. What is wrong is
    added to `check`. The scratch is gone afterwards.

    Raises:
        NeedsMlflowError: MLflow is not installed.
        MlporterError: it cannot be restored, as `import_` says it.
    """
    with closing(open_source(place, dedupe=True, include_tables=())) as source:
        expected = _expected(source)
        workspaces = _workspaces(source)
        chosen = sorted(_chosen(source, models))
    with browse_place(place, on_progress=on_progress) as restored:
        on_progress("counting what MLflow sees", 0, None)
        found = _counted(restored.url, workspaces)
        for table, rows in expected.items():
            if found.get(table) != rows:
                detail = f"MLflow sees {found.get(table, 0):,} of {rows:,} after a restore"
                check.add(table, "restore", detail)
        tried = []
        for at, (key, can_be) in enumerate(chosen):
            on_progress("loading models", at, len(chosen), "models")
            tried.append(_tried(key, restored.url, can_be=can_be))
    for model in tried:
        if not model.loads:
            check.add(model.name, "restore", f"{model.outcome}: {' '.join(model.said)[:300]}")
    return RestoreTest(expected, found, tuple(tried), restored.notes)


def _workspaces(source: Source) -> list[str]:
    """Those that hold anything; one without a name where MLflow needs not be told any."""
    if not has_workspaces(source):
        return [""]
    tables = ("experiments", "registered_models")
    return sorted({name for table in tables for (name,) in rows_of(source, table, ("workspace",))})


def _expected(source: Source) -> dict[str, int]:
    """What MLflow's searches have to find: they pass by prompts, and by versions once deleted."""
    models = set(rows_of(source, "registered_models", ("workspace", "name")))
    columns = ("workspace", "name", "current_stage")
    passed_by = _prompts(source, "model_version_tags")
    versions = sum(
        stage != DELETED_STAGE and (workspace, name) not in passed_by
        for workspace, name, stage in rows_of(source, "model_versions", columns)
    )
    return {
        "experiments": source.count("experiments"),
        "runs": source.count("runs"),
        "registered_models": len(models - _prompts(source, "registered_model_tags")),
        "model_versions": versions,
    }


def _prompts(source: Source, table: str) -> set[tuple[str, str]]:
    rows = rows_of(source, table, ("workspace", "name", "key", "value"))
    return {(workspace, name) for workspace, name, *tag in rows if tuple(tag) == _PROMPT}


def _chosen(source: Source, wanted: int) -> Iterator[tuple[VersionKey, bool]]:
    """Versions with files, and whether ``mlflow.pyfunc`` loads such a model at all."""
    found = [key for key, where in locations_of(source).items() if where.where is not Where.NONE]
    random.shuffle(found)
    taken = 0
    for key in found[: wanted * _TRIES]:
        if taken == wanted:
            return
        facts = read_facts(source, key)
        if facts.mlmodel:
            taken += 1
            yield key, _PYFUNC in facts.flavors


def _counted(url: str, workspaces: list[str]) -> dict[str, int]:
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "-c", _SCRIPT, json.dumps(workspaces)],
        env=_environment(url, ""),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise UnreachableError(f"MLflow cannot read it: {said[-1] if said else ''}", subject=url)
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts


def _tried(key: VersionKey, url: str, *, can_be: bool) -> TriedModel:
    workspace, name, number = key
    uri = f"models:/{name}/{number}"
    shown = uri if workspace == DEFAULT_WORKSPACE else f"{uri} in {workspace}"
    if not can_be:
        return TriedModel(shown, f"not loaded, as it has no flavor {_PYFUNC}")
    loaded = load_in_fresh_process(uri, _environment(url, workspace))
    if not loaded.loads:
        outcome = "does not load after a restore; this Python has to have what it requires"
        return TriedModel(shown, outcome, loads=False, said=loaded.said)
    told = "loads, and predicts on its input example" if loaded.predicts else "loads"
    return TriedModel(shown, told)


def _environment(url: str, workspace: str) -> dict[str, str]:
    """This process's variables, with this server as MLflow's only place."""
    theirs = {k: value for k, value in os.environ.items() if not k.startswith(_OTHERS)}
    own = {"MLFLOW_TRACKING_URI": url, "MLFLOW_REGISTRY_URI": url, "NO_PROXY": "127.0.0.1"}
    if workspace not in {"", DEFAULT_WORKSPACE}:
        own["MLFLOW_WORKSPACE"] = workspace
    return theirs | own
