"""The registry that is measured: as many runs as asked for, each like those of a real project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from pathlib import Path

EXPERIMENTS = 20
FEW_RUNS = 100
"""Runs of the last experiment, whatever the number of runs: a small part to choose."""

MODELS, VERSIONS = 50, 10


@dataclass(frozen=True)
class Each:
    """What a run has: params, tags, metrics, and points of each metric."""

    params: int = 20
    tags: int = 10
    keys: int = 20
    steps: int = 25


USUAL = Each()
LITTLE = Each(params=2, tags=1, keys=2, steps=1)
"""For as many runs as there may be: rows of runs are what is looked at."""

TEN_POINTS = Each(params=3, tags=3, keys=5, steps=2)

NOWHERE = "/nowhere"


@dataclass(frozen=True)
class Workload:
    """What was made."""

    runs: int
    points: int
    small_experiment: str


def fill(database_uri: str, runs: int, each: Each = USUAL, root: str | Path = NOWHERE) -> Workload:
    """Add runs, and registered models, to a database of MLflow's that has nothing in it.

    The database makes up the rows itself, so that a million points take seconds. Values look
    random and are always the same. Files of runs lie below `root`, if `write_files` is called.
    """
    engine = create_engine(database_uri)
    with engine.begin() as connection:
        for statement in _statements(runs, each, root):
            connection.execute(text(statement))
    engine.dispose()
    return Workload(runs, runs * each.keys * each.steps, f"bench {EXPERIMENTS}")


def write_files(root: Path, runs: int, files: int, size: int = 1000) -> None:
    """Small files, no two alike, spread over the runs of a registry."""
    for run in range(min(runs, files)):
        folder = root / experiment_of(run) / run_id(run) / "artifacts" / "model"
        folder.mkdir(parents=True)
        for file in range(run, files, runs):
            (folder / f"{file // runs}.bin").write_bytes(f"{file:>10}".encode() * (size // 10))


def experiment_of(run: int) -> str:
    """As the database chooses it."""
    return str(EXPERIMENTS if run < FEW_RUNS else 1 + run % (EXPERIMENTS - 1))


def run_id(number: int) -> str:
    """As the database makes it up."""
    return f"{1_000_000_007 + number * 7919 % 9_999_991}"[1:].rjust(32, "0")


def _count(**names: int) -> str:
    """``WITH`` one table for each name, which counts from 0."""
    tables = (
        f"{name}(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM {name} WHERE i + 1 < {number})"
        for name, number in names.items()
    )
    return "WITH RECURSIVE " + ", ".join(tables)


# As random ids do, those of one experiment lie all over the table.
_RUN = "substr(CAST(1000000007 + runs.i * CAST(7919 AS bigint) % 9999991 AS CHAR(10)), 2)"
_ID = f"'{'0' * 23}' || {_RUN}"
_VALUE = "((runs.i * 7919 + keys.i * 104729 + steps.i * 15487) % 1000003) / 1000003.0"


def _statements(runs: int, each: Each, root: str | Path) -> tuple[str, ...]:
    others = EXPERIMENTS - 1
    experiment = f"CASE WHEN runs.i < {FEW_RUNS} THEN {EXPERIMENTS} ELSE 1 + runs.i % {others} END"
    points = f"{_ID}, 'metric_' || keys.i, {_VALUE}, 1600000000000 + steps.i * 1000, steps.i, FALSE"
    columns = "(run_uuid, key, value, timestamp, step, is_nan)"
    all_points = "FROM runs CROSS JOIN keys CROSS JOIN steps"
    counted = _count(runs=runs, keys=each.keys, steps=each.steps)
    return (
        (
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
            f" creation_time, last_update_time) {_count(e=EXPERIMENTS)} SELECT e.i + 1,"
            f" 'bench ' || (e.i + 1), '{root}/' || (e.i + 1), 'active', 1, 1 FROM e"
        ),
        (
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
            " status, start_time, end_time, source_version, lifecycle_stage, artifact_uri,"
            f" experiment_id) {_count(runs=runs)} SELECT {_ID}, 'run ' || runs.i, 'LOCAL', '', '',"
            " 'bench', 'FINISHED', 1600000000000 + runs.i, 1600000060000 + runs.i, '', 'active',"
            f" '{root}/' || {experiment} || '/' || {_ID} || '/artifacts', {experiment} FROM runs"
        ),
        (
            f"INSERT INTO params (run_uuid, key, value) {_count(runs=runs, p=each.params)}"
            f" SELECT {_ID}, 'param_' || p.i, 'value ' || (runs.i + p.i) FROM runs CROSS JOIN p"
        ),
        (
            f"INSERT INTO tags (run_uuid, key, value) {_count(runs=runs, t=each.tags)}"
            f" SELECT {_ID}, 'tag_' || t.i, 'some text of a tag ' || (runs.i * 31 + t.i)"
            " FROM runs CROSS JOIN t"
        ),
        (f"INSERT INTO metrics {columns} {counted} SELECT {points} {all_points}"),
        (
            f"INSERT INTO latest_metrics {columns} {counted}"
            f" SELECT {points} {all_points} WHERE steps.i = {each.steps - 1}"
        ),
        (
            "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time)"
            f" {_count(m=MODELS)} SELECT 'default', 'model ' || m.i, 1, 1 FROM m"
        ),
        (
            "INSERT INTO model_versions (workspace, name, version, creation_time,"
            " last_updated_time, current_stage, source, run_id, status)"
            f" {_count(m=MODELS, v=VERSIONS, runs=1)}"
            " SELECT 'default', 'model ' || m.i, v.i + 1, 1, 1, 'None',"
            f" '{root}/{EXPERIMENTS}/' || {_ID} || '/artifacts/model', {_ID}, 'READY'"
            " FROM m CROSS JOIN v CROSS JOIN runs"
        ),
    )
