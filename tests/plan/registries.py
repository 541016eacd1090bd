"""Small registries for property tests: few ids and names, so that two of them often meet."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import strategies as st

from mlporter.catalogue import BY_NAME

if TYPE_CHECKING:
    from pathlib import Path

RUNS = [f"{number}f{'0' * 26}a{number:04x}" for number in range(5)]
MODELS = [f"m-{run}" for run in RUNS[:3]]
TRACES = [f"tr-{run}" for run in RUNS[:3]]
SPAN = "0123456789abcdef"
EXPERIMENTS = ["alpha", "beta", "gamma", "alpha-imported"]
NAMES = ["model", "other", "model-imported"]


@dataclass(frozen=True)
class Registry:
    """Rows to insert, in an order in which what is referred to comes first."""

    rows: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]

    def fill(self, path: Path) -> None:
        """Insert the rows into a database that has MLflow's schema."""
        with closing(sqlite3.connect(path)) as connection:
            for table, values in self.rows:
                _insert(connection, table, dict(values))
            connection.commit()


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    row = {c.name: None for c in BY_NAME[table].columns if not c.generated}
    for column in BY_NAME[table].columns:
        if not column.nullable and not column.generated:
            row[column.name] = _default(column)
    row |= values
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def _default(column: Any) -> Any:
    if column.name == "workspace":
        return "default"
    if column.json:
        return "{}"
    return "" if pa.types.is_string(column.type) else 0


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    """A sound registry: every reference leads somewhere."""
    rows: list[tuple[str, tuple[tuple[str, Any], ...]]] = []

    def add(table: str, **values: Any) -> None:
        rows.append((table, tuple(values.items())))

    names = draw(st.lists(st.sampled_from(EXPERIMENTS), min_size=1, max_size=3, unique=True))
    numbers = draw(st.permutations([1, 2, 3, 4]))[: len(names)]
    for number, name in zip(numbers, names, strict=True):
        stage = draw(st.sampled_from(["active", "active", "active", "deleted"]))
        add("experiments", experiment_id=number, name=name, lifecycle_stage=stage,
            artifact_location=f"/nowhere/{number}")  # fmt: skip
        if draw(st.booleans()):
            add("experiment_tags", experiment_id=number, key="k", value=draw(_VALUE))
    runs = _runs(draw, add, numbers)
    models = _logged_models(draw, add, numbers, runs)
    _inputs(draw, add, runs, models)
    _traces(draw, add, numbers, runs)
    _scorers(draw, add, numbers)
    _registered(draw, add, runs, models)
    return Registry(tuple(rows))


_VALUE = st.sampled_from(["x", "x", "y"])


def _runs(draw: st.DrawFn, add: Any, numbers: list[int]) -> dict[str, int]:
    runs: dict[str, int] = {}
    for run in draw(st.lists(st.sampled_from(RUNS), max_size=4, unique=True)):
        runs[run] = draw(st.sampled_from(numbers))
        add("runs", run_uuid=run, experiment_id=runs[run], status="FINISHED",
            lifecycle_stage="active", artifact_uri=f"/nowhere/{run}")  # fmt: skip
        add("params", run_uuid=run, key="p", value=draw(_VALUE))
        for step in range(draw(st.integers(0, 2))):
            add("metrics", run_uuid=run, key="m", step=step, timestamp=1, value=0.5)
            add("latest_metrics", run_uuid=run, key=f"m{step}", step=step, timestamp=1, value=0.5)
    for child in runs:
        if len(runs) > 1 and draw(st.booleans()):
            parent = draw(st.sampled_from(sorted(set(runs) - {child})))
            add("tags", run_uuid=child, key="mlflow.parentRunId", value=parent)
    return runs


def _logged_models(
    draw: st.DrawFn, add: Any, numbers: list[int], runs: dict[str, int]
) -> list[str]:
    models = draw(st.lists(st.sampled_from(MODELS), max_size=2, unique=True))
    for model in models:
        source = draw(st.sampled_from(sorted(runs))) if runs else None
        number = runs[source] if source else draw(st.sampled_from(numbers))
        add("logged_models", model_id=model, experiment_id=number, name="m", status=2,
            lifecycle_stage="active", source_run_id=source,
            artifact_location=f"/nowhere/{model}")  # fmt: skip
        add("logged_model_tags", model_id=model, experiment_id=number, tag_key="t",
            tag_value=draw(_VALUE))  # fmt: skip
    return models


def _inputs(draw: st.DrawFn, add: Any, runs: dict[str, int], models: list[str]) -> None:
    known: dict[tuple[int, str], str] = {}
    for place, run in enumerate(sorted(runs)):
        if draw(st.booleans()):
            digest = draw(st.sampled_from(["d1", "d2"]))
            key = (runs[run], digest)
            if key not in known:
                known[key] = f"{runs[run]}{digest}{draw(st.sampled_from('ab'))}"
                add("datasets", experiment_id=key[0], name="data", digest=digest,
                    dataset_uuid=known[key])  # fmt: skip
            edge = f"in-{run[:8]}-{digest}"
            add("inputs", input_uuid=edge, source_type="DATASET", source_id=known[key],
                destination_type="RUN", destination_id=run)  # fmt: skip
            add("input_tags", input_uuid=edge, name="context", value=draw(_VALUE))
        if models and draw(st.booleans()):
            model = draw(st.sampled_from(models))
            add("inputs", input_uuid=f"out-{place}", source_type="RUN_OUTPUT", source_id=run,
                destination_type="MODEL_OUTPUT", destination_id=model)  # fmt: skip


def _traces(draw: st.DrawFn, add: Any, numbers: list[int], runs: dict[str, int]) -> None:
    for place, trace in enumerate(draw(st.lists(st.sampled_from(TRACES), max_size=2, unique=True))):
        number = draw(st.sampled_from(numbers))
        add("trace_info", request_id=trace, experiment_id=number, timestamp_ms=1, status="OK")
        add("trace_tags", request_id=trace, key="k", value=draw(_VALUE))
        content = {"trace_id": "", "attributes": {"mlflow.traceRequestId": json.dumps(trace)}}
        add("spans", trace_id=trace, span_id=SPAN, experiment_id=number, status="OK",
            content=json.dumps(content))  # fmt: skip
        if runs:
            source = draw(st.sampled_from(sorted(runs)))
            add("trace_request_metadata", request_id=trace, key="mlflow.sourceRun", value=source)
        add("assessments", assessment_id=f"a-{place}", trace_id=trace, experiment_id=number,
            name="good", assessment_type="feedback", value="true", valid=True,
            source_type="HUMAN")  # fmt: skip


def _scorers(draw: st.DrawFn, add: Any, numbers: list[int]) -> None:
    for number in numbers:
        if draw(st.booleans()):
            scorer = f"scorer-{draw(st.sampled_from('abc'))}-{number}"
            add("scorers", scorer_id=scorer, experiment_id=number, scorer_name="judge")
            add("scorer_versions", scorer_id=scorer, scorer_version=1,
                serialized_scorer=json.dumps({"v": draw(_VALUE)}))  # fmt: skip


def _registered(draw: st.DrawFn, add: Any, runs: dict[str, int], models: list[str]) -> None:
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        add("registered_models", name=name, description=draw(st.sampled_from([None, "x", "y"])))
        versions = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2, unique=True))
        for version in sorted(versions):
            run = draw(st.sampled_from([None, *sorted(runs)]))
            source = f"runs:/{run}/model" if run else f"models:/{models[0]}" if models else "s3://b"
            add("model_versions", name=name, version=version, run_id=run, source=source,
                current_stage=draw(st.sampled_from(["None", "Production"])))  # fmt: skip
        if versions and draw(st.booleans()):
            add("registered_model_aliases", name=name, alias="champion", version=versions[0])
