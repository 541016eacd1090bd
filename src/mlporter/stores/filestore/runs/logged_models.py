"""Logged models: their description, parameters, tags and metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.stores.addresses.file_store_folders import META
from mlporter.stores.filestore.runs.metrics import LARGEST, fields_of, say_wrong
from mlporter.stores.filestore.values import read_meta, texts_below, whole

if TYPE_CHECKING:
    from mlporter.stores.filestore.experiments import Experiment
    from mlporter.stores.filestore.notes import Spot
    from mlporter.stores.filestore.reading import Rows
    from mlporter.stores.filestore.tree import Tree
    from mlporter.stores.filestore.values import Meta

__all__ = ["read_logged_model"]

_STATUSES = {"LOGGED_MODEL_STATUS_UNSPECIFIED": 0, "UNSPECIFIED": 0}
_STATUSES |= {"PENDING": 1, "READY": 2, "FAILED": 3}


def read_logged_model(
    tree: Tree, path: str, experiment: Experiment, spot: Spot, rows: Rows
) -> str | None:
    """Read one model's folder; returns the model's id, or None if it is not copied."""
    meta = read_meta(tree, f"{path}/{META}", spot.at(META))
    if meta is None:
        return None
    model = meta.text("model_id") or spot.id
    if not rows.claim("logged_models", model, spot):
        return None
    number = experiment.number
    rows.add("logged_models", _row(meta, model, experiment))
    for folder, table, key_name, value_name in (
        ("params", "logged_model_params", "param_key", "param_value"),
        ("tags", "logged_model_tags", "tag_key", "tag_value"),
    ):
        for key, value in texts_below(tree, f"{path}/{folder}", spot.at(folder, table)):
            row = {"model_id": model, key_name: key, "experiment_id": number, value_name: value}
            rows.add(table, row)
    for key, file in tree.files_below(f"{path}/metrics", spot.at("metrics")):
        here = spot.at(f"metrics/{key}", "logged_model_metrics")
        data = tree.read(file, here)
        points = _points(data, here) if data is not None else {}
        for place, values in points.items():
            for measured in values:
                rows.add("logged_model_metrics", _point(model, number, key, place, measured))
    return model


@dataclass(frozen=True)
class _At:
    """What tells the points of a model's metric apart in a database."""

    run: str
    step: int
    timestamp: int


_Value = tuple[float | None, str | None, str | None]
"""A value, with the name and the digest of the dataset that it was measured on."""


def _points(data: bytes, spot: Spot) -> dict[_At, list[_Value]]:
    """The points of a file; several of one place only if they are exactly alike."""
    found: dict[_At, list[_Value]] = {}
    wrong: list[tuple[int, bytes]] = []
    for number, line in enumerate(data.splitlines(), 1):
        fields = fields_of(line)
        if fields == ():
            continue
        if not fields or len(fields[3]) in {0, 2}:
            wrong.append((number, line))
            continue
        timestamp, value, step, more = fields
        run, *names = (word.decode(errors="backslashreplace") for word in more)
        there = found.setdefault(_At(run, step, timestamp), [])
        # A dataset's name may have spaces, which its digest never has.
        name, digest = (" ".join(names[:-1]), names[-1]) if names else (None, None)
        _add(there, (_finite(value), name, digest), number, spot)
    say_wrong(wrong, spot)
    return found


def _add(there: list[_Value], value: _Value, line: int, spot: Spot) -> None:
    """Of unequal values at one time of one step the greatest is kept, as MLflow shows it."""
    if not there or there[0] == value:
        there.append(value)
        return
    kept, lost = sorted((there[0], value), key=lambda v: -math.inf if v[0] is None else v[0])[::-1]
    if kept is value:
        there[:] = [value]
    spot.lost(f"line {line}: another value of the same run, step and time: {lost[0]}", "duplicate")


def _finite(value: float) -> float | None:
    """MLflow's databases hold NaN of a model's metrics as 0, and infinity as the largest number."""
    if math.isnan(value):
        return 0.0
    return math.copysign(LARGEST, value) if math.isinf(value) else value


def _point(model: str, number: int, key: str, place: _At, value: _Value) -> dict[str, object]:
    return {
        "model_id": model,
        "run_id": place.run,
        "metric_name": key,
        "metric_step": place.step,
        "metric_timestamp_ms": place.timestamp,
        "metric_value": value[0],
        "experiment_id": number,
        "dataset_name": value[1],
        "dataset_digest": value[2],
    }


def _row(meta: Meta, model: str, experiment: Experiment) -> dict[str, object]:
    stage = meta.text("lifecycle_stage", "active")
    return {
        "model_id": model,
        "experiment_id": experiment.number,
        "name": meta.text("name") or "",
        "artifact_location": meta.text("artifact_location") or "",
        "creation_timestamp_ms": meta.number("creation_timestamp") or 0,
        "last_updated_timestamp_ms": meta.number("last_updated_timestamp") or 0,
        "status": _status(meta),
        "lifecycle_stage": "deleted" if experiment.trashed else stage,
        "model_type": meta.text("model_type"),
        "source_run_id": meta.text("source_run_id"),
        "status_message": meta.text("status_message"),
    }


def _status(meta: Meta) -> int:
    """A number, or its name; what cannot be told is pending."""
    value = meta.fields.get("status", 1)
    found = _STATUSES.get(value) if isinstance(value, str) else None
    number = found if found is not None else whole(value)
    if number is None:
        meta.spot.lost(f"status {str(value)[:80]!r} is not known; copied as PENDING")
        return 1
    return number
