"""Experiments, runs, their inputs and outputs, and metric histories."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.stores.rows.synthetic_ids import dataset_uuid, input_uuid
from mlporter.stores.server.reading.answer_fields import ANSWER_FIELDS
from mlporter.stores.server.reading.rows import Json, Rows, new_rows, pairs
from mlporter.stores.server.reading.unknown_fields import keep_unknown, row_of, unknown_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["experiment", "model_inputs", "points", "run"]

_METRICS = BY_NAME["metrics"]


def experiment(found: Json, workspace: str) -> Rows:
    """An experiment and its tags."""
    rows = new_rows()
    id_ = int(found["experiment_id"])
    rows["experiments"].append(
        {
            "experiment_id": id_,
            "name": found.get("name", ""),
            "workspace": found.get("workspace") or workspace,
            "artifact_location": found.get("artifact_location"),
            "lifecycle_stage": found.get("lifecycle_stage", "active"),
            "creation_time": found.get("creation_time"),
            "last_update_time": found.get("last_update_time"),
        }
    )
    keep_unknown(rows, "experiments", found)
    for key, value in pairs(found.get("tags")):
        rows["experiment_tags"].append({"experiment_id": id_, "key": key, "value": value})
    return rows


def run(found: Json) -> Rows:
    """A run with parameters, tags, last metrics, datasets and outputs; see `model_inputs`."""
    rows = new_rows()
    info, data = found["info"], found.get("data", {})
    id_ = info.get("run_id") or info["run_uuid"]
    experiment_id = int(info["experiment_id"])
    rows["runs"].append(
        {
            "run_uuid": id_,
            "name": info.get("run_name"),
            "user_id": info.get("user_id"),
            "status": info.get("status"),
            "start_time": info.get("start_time"),
            "end_time": info.get("end_time"),
            "lifecycle_stage": info.get("lifecycle_stage", "active"),
            "artifact_uri": info.get("artifact_uri"),
            "experiment_id": experiment_id,
        }
    )
    keep_unknown(rows, "runs", found)
    for table in ("params", "tags"):
        for key, value in pairs(data.get(table)):
            rows[table].append({"run_uuid": id_, "key": key, "value": value})
    rows["latest_metrics"] += (_latest(id_, metric) for metric in data.get("metrics", ()))
    _inputs(rows, id_, experiment_id, found.get("inputs", {}))
    _outputs(rows, id_, found.get("outputs", {}))
    return rows


def _latest(run_id: str, metric: Json) -> dict[str, Any]:
    value, is_nan = _number(metric.get("value"))
    return {
        "run_uuid": run_id,
        "key": metric["key"],
        "value": value,
        "timestamp": metric.get("timestamp", 0),
        "step": metric.get("step", 0),
        "is_nan": is_nan,
    }


def _number(value: object) -> tuple[float, bool]:
    """A value as MLflow's database holds it: not a number is 0, and a flag."""
    number = float(value) if isinstance(value, int | float | str) else 0.0
    if math.isnan(number):
        return 0.0, True
    return number, False


def _inputs(rows: Rows, run_id: str, experiment_id: int, inputs: Json) -> None:
    for used in inputs.get("dataset_inputs", ()):
        dataset = used["dataset"]
        name, digest = dataset.get("name", ""), dataset.get("digest", "")
        uuid = dataset_uuid(experiment_id, name, digest)
        rows["datasets"].append(
            {
                "experiment_id": experiment_id,
                "name": name,
                "digest": digest,
                "dataset_uuid": uuid,
                "dataset_source_type": dataset.get("source_type", ""),
                "dataset_source": dataset.get("source", ""),
                "dataset_schema": dataset.get("schema"),
                "dataset_profile": dataset.get("profile"),
            }
        )
        edge = _edge(rows, ("RUN", run_id), ("DATASET", uuid))
        for key, value in pairs(used.get("tags")):
            rows["input_tags"].append({"input_uuid": edge, "name": key, "value": value})


def model_inputs(found: Json, *, outputs: bool) -> Rows:
    """The logged models that a run used: a search does not show them, getting the run does.

    Args:
        found: The run.
        outputs: Give also those that it made, which older servers show here only.
    """
    rows = new_rows()
    info = found["info"]
    for model in found.get("inputs", {}).get("model_inputs", ()):
        _edge(rows, ("MODEL_INPUT", model["model_id"]), ("RUN_INPUT", info["run_id"]))
    if outputs:
        _outputs(rows, info["run_id"], found.get("outputs", {}))
    ends = {"inputs": {"model_inputs": found.get("inputs", {}).get("model_inputs", [])}}
    unknown = unknown_in(ends, ANSWER_FIELDS["runs"])
    row = {"run_uuid": info["run_id"]}
    rows[UNKNOWN_FIELDS.name] += (row_of("runs", row, *one) for one in unknown)
    return rows


def _outputs(rows: Rows, run_id: str, outputs: Json) -> None:
    for model in outputs.get("model_outputs", ()):
        step = model.get("step", 0)
        _edge(rows, ("MODEL_OUTPUT", model["model_id"]), ("RUN_OUTPUT", run_id), step)


def _edge(rows: Rows, end: tuple[str, str], start: tuple[str, str], step: int = 0) -> str:
    """An edge between a run and what it used or made; its id."""
    uuid = input_uuid(end[1], end[0], start[0], start[1])
    rows["inputs"].append(
        {
            "destination_id": end[1],
            "destination_type": end[0],
            "source_type": start[0],
            "source_id": start[1],
            "input_uuid": uuid,
            "step": step,
        }
    )
    return uuid


def points(run_id: str | None, found: Iterable[Json]) -> pa.RecordBatch:
    """Points of metrics as rows of `metrics`, column by column, as there are many.

    Args:
        run_id: Whose they are; None where each says it itself.
        found: As the API gives them.
    """
    points = list(found)
    values = [_number(point.get("value")) for point in points]
    columns: dict[str, Iterator[Any] | list[Any]] = {
        "run_uuid": [run_id or point["run_id"] for point in points],
        "key": [point["key"] for point in points],
        "timestamp": [point.get("timestamp", 0) for point in points],
        "step": [point.get("step", 0) for point in points],
        "value": [value for value, _ in values],
        "is_nan": [is_nan for _, is_nan in values],
    }
    fields = [pa.field(name, _METRICS.by_name[name].type) for name in columns]
    arrays = [pa.array(columns[field.name], field.type) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
