"""One registry that holds every awkward thing MLflow can store, and a small plain one.

`build_rich_registry` costs seconds. Tests take a copy from the fixtures in ``tests/conftest.py``.
The parts are made in ``rich_runs``, ``rich_models``, ``rich_traces`` and ``rich_rest``, which also
hold the values to compare with (``rich_runs.AWKWARD_PARAMS`` and so on).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.utils.workspace_context import WorkspaceContext

from .engines import copy_sqlite
from .mlflow_session import join_uri, mlflow_at, sqlite_url
from .plain_registry import PlainRegistry
from .rich_models import MODEL_NAME, RichModels, build_models, log_multiplier
from .rich_rest import RichRest, build_rest
from .rich_runs import EXPERIMENT_NAME, RichRuns, build_runs
from .rich_skills import build_skills
from .rich_traces import RichTraces, build_traces

#: Either kind of registry, where what is done to it does not depend on which.
Registry = TypeVar("Registry", "RichRegistry", PlainRegistry)


@dataclass(frozen=True)
class RichRegistry:
    """Where the registry is and what in it is worth asking for; ids are MLflow's own."""

    tracking_uri: str
    """Database address, for MLflow and for us alike."""
    artifact_root: str
    """Folder (or URI) above all artifact locations, without a slash at the end."""
    runs: RichRuns
    models: RichModels
    traces: RichTraces
    rest: RichRest

    def client(self) -> MlflowClient:
        """MLflow's own client for it. MLflow may write to a database that it opens."""
        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @property
    def database_path(self) -> Path:
        """The SQLite file; an error for any other database."""
        if not self.tracking_uri.startswith("sqlite:///"):
            raise ValueError(f"not a SQLite database: {self.tracking_uri}")
        return Path(self.tracking_uri.removeprefix("sqlite:///"))


def build_rich_registry(tracking_uri: str, artifact_root: Path | str) -> RichRegistry:
    """Fill the fresh MLflow database at ``tracking_uri``; ``artifact_root`` takes all artifacts."""
    root = str(artifact_root).rstrip("/")
    with mlflow_at(tracking_uri):
        client = MlflowClient()
        runs = build_runs(client, tracking_uri, root)
        models = build_models(client, runs.experiment_id, root)
        traces = build_traces(
            client, tracking_uri, runs.second_experiment_id, models.first_model_id
        )
        rest = build_rest(
            client, tracking_uri, runs.second_experiment_id, runs.experiment_id, traces
        )
        build_skills(root)
    return RichRegistry(tracking_uri, root, runs, models, traces, rest)


def add_workspace(rich: RichRegistry, name: str = "team-b") -> str:
    """Add a workspace with an experiment and a model of the same names as in the default one.

    From then on MLflow opens the database only with ``MLFLOW_ENABLE_WORKSPACES=true``, which is why
    it is not part of the rich registry. Returns the experiment's id.
    """
    with mlflow_at(rich.tracking_uri, workspaces=True):
        root = join_uri(rich.artifact_root, "workspaces", name)
        mlflow.create_workspace(name, description="Team B 🦆", default_artifact_root=root)
        with WorkspaceContext(name):
            client = MlflowClient()
            # With workspaces MLflow chooses the artifact location, below the workspace's root.
            experiment = client.create_experiment(EXPERIMENT_NAME)
            with mlflow.start_run(experiment_id=experiment, run_name="in team-b") as run:
                mlflow.log_metric("m", 2.0)
                model_id = log_multiplier("multiplier", 5.0)
            client.create_registered_model(MODEL_NAME, description="of team-b")
            client.create_model_version(
                MODEL_NAME, f"models:/{model_id}", run.info.run_id, model_id=model_id
            )
            client.set_registered_model_alias(MODEL_NAME, "champion", "1")
    return str(experiment)


def add_what_only_sqlite_holds(database: Path) -> None:
    """Add rows that PostgreSQL would refuse: SQLite checks neither length nor range.

    An experiment with a name of 500 characters (MLflow's limit; the column says 256) and an id of
    18 digits (as a migrated file store has), a model with a description of 5,001 characters, and a
    tag with NUL.
    """
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
            " creation_time, last_update_time, workspace)"
            " VALUES (?, ?, ?, 'active', 1, 1, 'default')",
            (123456789012345678, "n" * 500, "/nowhere"),
        )
        connection.execute(
            "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time,"
            " description) VALUES ('default', 'long description', 1, 1, ?)",
            ("d" * 5001,),
        )
        connection.execute(
            "INSERT INTO experiment_tags (experiment_id, key, value) VALUES (?, 'nul', ?)",
            (123456789012345678, "before\0after"),
        )
    connection.close()


# --- Copies ---------------------------------------------------------------------------------------

#: Every column that holds an artifact URI or a text with one in it.
URI_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
    ("workspaces", "default_artifact_root"),
)


def copy_database(registry: Registry, folder: Path) -> Registry:
    """A database of its own in ``folder``, over the *same* artifact files (only read those)."""
    copy_sqlite(registry.database_path, folder / "mlflow.db")
    return dataclasses.replace(registry, tracking_uri=sqlite_url(folder / "mlflow.db"))


def copy_with_artifacts(registry: Registry, folder: Path) -> Registry:
    """A database and artifact files of its own, in ``folder``, to move, break and delete.

    ``MLmodel`` files keep saying where they were first written, as after any real move.
    """
    root = (folder / "artifacts").as_posix()
    shutil.copytree(registry.artifact_root, root)
    moved = dataclasses.replace(copy_database(registry, folder), artifact_root=root)
    connection = sqlite3.connect(moved.database_path)
    with connection:
        for table, column in URI_COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (registry.artifact_root, root),
            )
        # MLflow's own is in the folder that the template was made in, where other tests log to.
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0",
            (f"{root}/0",),
        )
    connection.close()
    return moved


def to_json(rich: RichRegistry) -> str:
    """For another process that shares the files."""
    return json.dumps(dataclasses.asdict(rich))


def from_json(text: str) -> RichRegistry:
    """What `to_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    return RichRegistry(
        tracking_uri=fields["tracking_uri"],
        artifact_root=fields["artifact_root"],
        runs=RichRuns(**_with_tuples(fields["runs"])),
        models=RichModels(**_with_tuples(fields["models"])),
        traces=RichTraces(**_with_tuples(fields["traces"])),
        rest=RichRest(**_with_tuples(fields["rest"])),
    )


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
