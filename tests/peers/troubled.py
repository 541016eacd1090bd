"""A registry with everything that was lost or changed by other tools: see PEERS.md."""

from __future__ import annotations

import ast
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities import LoggedModelInput, Metric, Param

from tests.support.rich_models import log_multiplier

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.support.target_server import TargetServer

START = 1_600_000_000_000
EXPERIMENT = "churn"
MODEL = "churn-model"
CATALOGUE_MODEL = "main.churn.model"
"""A name of three levels, as Unity Catalog has them."""
MODELS = 101
"""Registered models beside these: more than one page."""
LONG = "prompt"
"""A parameter that is longer than a server takes."""


@dataclass(frozen=True)
class Troubled:
    """Ids, by what is special about them."""

    experiment: str
    parent: str
    children: tuple[str, ...]
    grandchild: str
    many: str
    """150 parameters."""
    user_of_models: str
    """A run that used a logged model as its input (#250)."""
    after: tuple[str, ...]
    """Runs that come after that one."""
    deleted: str
    in_deleted: str
    """A run of a deleted experiment."""
    two_models: str
    """A run with two logged models; only the second is registered."""
    factors: dict[int, float]
    """Version of `MODEL`: what its model multiplies by. There are gaps."""
    traces: tuple[str, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """All runs."""
        first = (self.parent, *self.children, self.grandchild, self.many, self.user_of_models)
        return (*first, *self.after, self.deleted, self.in_deleted, self.two_models)


def to_text(registry: Troubled) -> str:
    """What `from_text` reads."""
    return repr(asdict(registry))


def from_text(text: str) -> Troubled:
    """What another worker made."""
    return Troubled(**ast.literal_eval(text))


def fill(server: TargetServer) -> Troubled:
    """Fill an empty server, at which MLflow's session is."""
    client = server.client()
    experiment = client.create_experiment(EXPERIMENT, tags={"team": "a"})
    parent = _run(client, experiment, 0)
    children = tuple(_run(client, experiment, n, parent) for n in (1, 2, 3))
    grandchild = _run(client, experiment, 4, children[0])
    many = _run(client, experiment, 5)
    for at in range(0, 150, 50):
        client.log_batch(many, params=[Param(f"p{n}", str(n)) for n in range(at, at + 50)])
    two_models, factors = _models(client, experiment)
    _more_models(server)
    used = client.search_logged_models([experiment])[0].model_id
    user_of_models = _run(client, experiment, 6)
    client.log_inputs(user_of_models, models=[LoggedModelInput(used)])
    after = tuple(_run(client, experiment, n) for n in (7, 8))
    deleted = _run(client, experiment, 9)
    client.delete_run(deleted)
    gone = client.create_experiment("gone")
    in_deleted = _run(client, gone, 10)
    client.delete_experiment(gone)
    _lengthen(server, many)
    return Troubled(
        experiment, parent, children, grandchild, many, user_of_models, after, deleted,
        in_deleted, two_models, factors, _traces(experiment),
    )  # fmt: skip


def _run(client: MlflowClient, experiment: str, number: int, parent: str = "") -> str:
    start = START + number * 60_000
    tags = {"mlflow.user": f"user{number}"} | ({"mlflow.parentRunId": parent} if parent else {})
    run = str(client.create_run(experiment, start, tags, f"run {number}").info.run_id)
    points = [Metric("loss", 1 / (step + 1), start + step, step) for step in range(5)]
    client.log_batch(run, points, [Param("lr", str(number))])
    client.log_text(run, f"of run {number}", "deep/er/report.txt")
    client.set_terminated(run, end_time=start + 30_000)
    return run


def _models(client: MlflowClient, experiment: str) -> tuple[str, dict[int, float]]:
    with mlflow.start_run(experiment_id=experiment, run_name="two models") as run:
        log_multiplier("first", 7.0)
        second = log_multiplier("second", 3.0)
        third = log_multiplier("third", 5.0)
    client.create_registered_model(MODEL, description="d")
    for model, run_id in ((third, run.info.run_id), (second, run.info.run_id), (third, None)):
        client.create_model_version(MODEL, f"models:/{model}", run_id, model_id=model)
    client.create_model_version(MODEL, f"models:/{second}", run.info.run_id, model_id=second)
    client.delete_model_version(MODEL, "1")
    for version in ("2", "4"):
        client.transition_model_version_stage(MODEL, version, "Production")
    client.set_registered_model_alias(MODEL, "champion", "2")
    client.set_registered_model_alias(MODEL, "without-run", "3")
    client.create_registered_model(CATALOGUE_MODEL)
    client.create_model_version(CATALOGUE_MODEL, f"models:/{second}", model_id=second)
    return str(run.info.run_id), {2: 3.0, 3: 5.0, 4: 3.0}


def _more_models(server: TargetServer) -> None:
    """As a server writes them, without a request for each."""
    with closing(sqlite3.connect(server.database)) as connection, connection:
        connection.executemany(
            "INSERT INTO registered_models"
            " (name, creation_time, last_updated_time, description, workspace)"
            " SELECT ?, creation_time, last_updated_time, '', workspace"
            " FROM registered_models WHERE name = ?",
            [(f"other {number:03}", MODEL) for number in range(MODELS)],
        )


def _traces(experiment: str) -> tuple[str, ...]:
    mlflow.set_experiment(experiment_id=experiment)
    found = []
    for number in range(5):
        with mlflow.start_span("root") as span:
            span.set_inputs({"question": number})
            with mlflow.start_span("inner"):
                pass
        found.append(str(span.trace_id))
    return tuple(found)


def _lengthen(server: TargetServer, run: str) -> None:
    """As an older MLflow let it be written: a server cuts at 6,000 characters."""
    with closing(sqlite3.connect(server.database)) as connection, connection:
        values = (run, LONG, "x" * 7000)
        connection.execute("INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)", values)
