"""A small ordinary registry in a second, and a big one of nothing but numbers for benchmarks."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sqlalchemy import create_engine, text

from .mlflow_session import join_uri, mlflow_at
from .rich_models import log_multiplier

PLAIN_EXPERIMENT = "plain"
PLAIN_MODEL = "plain-model"

#: Version → factor of its multiplier (see ``served_model``).
PLAIN_FACTORS = {1: 1.0, 2: 2.0, 3: 3.0}


@dataclass(frozen=True)
class PlainRegistry:
    """One experiment; `run_ids` with params, metrics, tags and artifacts; a model of 3 versions."""

    tracking_uri: str
    artifact_root: str
    experiment_id: str
    experiment_name: str
    run_ids: tuple[str, ...]
    model_run_id: str
    """The run that logged all three versions' models."""
    model_name: str
    """Versions 1, 2, 3; alias ``champion`` → 2; stage Production: 2."""

    def client(self) -> MlflowClient:
        """MLflow's own client for it."""
        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return Path(self.tracking_uri.removeprefix("sqlite:///"))


def build_plain_registry(
    tracking_uri: str, artifact_root: Path | str, *, runs: int = 3, metrics: int = 2
) -> PlainRegistry:
    """Fill the fresh MLflow database at ``tracking_uri``.

    Every run gets ``metrics`` metrics of three steps.
    """
    root = str(artifact_root).rstrip("/")
    with mlflow_at(tracking_uri):
        client = MlflowClient()
        experiment = client.create_experiment(
            PLAIN_EXPERIMENT, artifact_location=join_uri(root, "plain"), tags={"team": "a"}
        )
        run_ids = tuple(_plain_run(client, experiment, n, metrics) for n in range(runs))
        model_run = _plain_model(client, experiment)
    return PlainRegistry(
        tracking_uri, root, experiment, PLAIN_EXPERIMENT, run_ids, model_run, PLAIN_MODEL
    )


def _plain_run(client: MlflowClient, experiment: str, number: int, metrics: int) -> str:
    start = 1_600_000_000_000 + number * 60_000
    run_id = str(client.create_run(experiment, start, run_name=f"run {number}").info.run_id)
    client.log_batch(
        run_id,
        metrics=[
            Metric(f"metric {key}", number + key / 10 + step / 100, start + step, step)
            for key in range(metrics)
            for step in range(3)
        ],
        params=[Param("lr", str(0.1 * number)), Param("depth", str(number))],
        tags=[RunTag("team", "a")],
    )
    client.log_text(run_id, f"report of run {number}", "report.txt")
    client.log_text(run_id, "same in every run", "nested/same.txt")
    client.set_terminated(run_id, end_time=start + 30_000)
    return run_id


def _plain_model(client: MlflowClient, experiment: str) -> str:
    client.create_registered_model(PLAIN_MODEL, tags={"team": "a"}, description="plain")
    with mlflow.start_run(experiment_id=experiment, run_name="models") as run:
        for version, factor in PLAIN_FACTORS.items():
            model_id = log_multiplier(f"multiplier-{version}", factor)
            client.create_model_version(
                PLAIN_MODEL, f"models:/{model_id}", run.info.run_id, model_id=model_id
            )
    client.set_registered_model_alias(PLAIN_MODEL, "champion", "2")
    client.transition_model_version_stage(PLAIN_MODEL, "2", "Production")
    return str(run.info.run_id)


def to_json(plain: PlainRegistry) -> str:
    """For another process that shares the files."""
    return json.dumps(dataclasses.asdict(plain))


def from_json(text: str) -> PlainRegistry:
    """What `to_json` wrote."""
    fields = json.loads(text)
    return PlainRegistry(**{**fields, "run_ids": tuple(fields["run_ids"])})


# --- Bulk -----------------------------------------------------------------------------------------

#: Counts from zero; SQLite, PostgreSQL and MySQL all understand it.
_COUNT = "{name}(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM {name} WHERE i + 1 < :{name})"

#: 32 digits, zero-padded, without the padding functions that every engine names differently.
_RUN_ID = (
    "substr('00000000000000000000000000000000' || CAST(:base + runs.i AS CHAR(18)),"
    " length(CAST(:base + runs.i AS CHAR(18))) + 1)"
)


def fill_metrics(database_uri: str, *, runs: int, keys: int, steps: int) -> str:
    """Add ``runs * keys * steps`` metric points, and 10 params a run, to an MLflow database.

    The database makes up the rows itself, so a million points take seconds. Values look random but
    are always the same. Returns the id of the new experiment that holds them.
    """
    engine = create_engine(database_uri)
    with engine.begin() as connection:
        taken = connection.execute(text("SELECT count(*) FROM experiments")).scalar_one()
        name = f"bulk {taken}"
        connection.execute(
            text(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time,"
                " last_update_time) VALUES (:name, '/nowhere', 'active', 1, 1)"
            ),
            {"name": name},
        )
        experiment = connection.execute(
            text("SELECT experiment_id FROM experiments WHERE name = :name"), {"name": name}
        ).scalar_one()
        numbers = {"runs": runs, "keys": keys, "steps": steps, "params": 10}
        for statement in _bulk_statements():
            values = {"experiment": experiment, "base": experiment * 10**9, "last": steps - 1}
            used = {**numbers, **values}
            connection.execute(
                text(statement), {key: used[key] for key in used if f":{key}" in statement}
            )
    engine.dispose()
    return str(experiment)


def _bulk_statements() -> tuple[str, ...]:
    def counting(*names: str) -> str:
        return "WITH RECURSIVE " + ", ".join(_COUNT.format(name=name) for name in names)

    value = "((runs.i * 7919 + keys.i * 104729 + steps.i * 15485863) % 1000003) / 1000003.0"
    point = f"'metric_' || keys.i, {value}, 1600000000000 + steps.i * 1000, steps.i"
    from_points = "FROM runs CROSS JOIN keys CROSS JOIN steps"
    metric_columns = "(run_uuid, key, value, timestamp, step, is_nan)"
    metrics = f"{counting('runs', 'keys', 'steps')} SELECT {_RUN_ID}, {point}, FALSE {from_points}"
    add_runs = (
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
        " status, start_time, end_time, source_version, lifecycle_stage, artifact_uri,"
        f" experiment_id) {counting('runs')} SELECT {_RUN_ID}, 'run ' || runs.i, 'LOCAL', '', '',"
        " 'bulk', 'FINISHED', 1600000000000 + runs.i, 1600000060000 + runs.i, '', 'active',"
        f" '/nowhere/' || {_RUN_ID} || '/artifacts', :experiment FROM runs"
    )
    add_params = (
        f"INSERT INTO params (run_uuid, key, value) {counting('runs', 'params')}"
        f" SELECT {_RUN_ID}, 'param_' || params.i, 'value ' || (runs.i + params.i)"
        " FROM runs CROSS JOIN params"
    )
    return (
        add_runs,
        add_params,
        f"INSERT INTO metrics {metric_columns} {metrics}",
        f"INSERT INTO latest_metrics {metric_columns} {metrics} WHERE steps.i = :last",
    )
