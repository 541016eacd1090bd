"""Evaluation datasets, scorers, label schemas and review queues."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mlporter.stores.rows.json_strings import with_endpoints
from mlporter.stores.server.reading.rows import Json, Rows, new_rows
from mlporter.stores.server.reading.rows.traces import association
from mlporter.stores.server.reading.unknown_fields import keep_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["dataset", "label_schema", "online_config", "records", "review_queue", "scorer"]

_WRAPPED = "mlflow_wrapped"
_UNSET: dict[str, dict[str, None]] = {
    "text": {"max_length": None},
    "numeric": {"min_value": None, "max_value": None},
}
"""What MLflow stores of a label schema's input where nothing was said."""


def dataset(found: Json, workspace: str, experiments: Iterable[str]) -> Rows:
    """An evaluation dataset with its tags and experiments, and without its records."""
    rows = new_rows()
    id_ = found["dataset_id"]
    texts = ("name", "schema", "profile", "digest", "created_by", "last_updated_by")
    row = {name: found.get(name) for name in (*texts, "created_time", "last_update_time")}
    rows["evaluation_datasets"].append({**row, "dataset_id": id_, "workspace": workspace})
    keep_unknown(rows, "evaluation_datasets", found)
    for key, value in json.loads(found.get("tags") or "{}").items():
        rows["evaluation_dataset_tags"].append({"dataset_id": id_, "key": key, "value": value})
    for experiment in experiments:
        edge = association("evaluation_dataset", id_, "experiment", experiment)
        rows["entity_associations"].append(edge)
    return rows


def records(text: str) -> Rows:
    """Records of an evaluation dataset, from the JSON text that the API sends them in."""
    rows = new_rows()
    for found in json.loads(text or "[]"):
        rows["evaluation_dataset_records"].append(_record(found))
        keep_unknown(rows, "evaluation_dataset_records", found)
    return rows


def _record(found: Json) -> dict[str, Any]:
    inputs = found.get("inputs", {})
    plain = ("dataset_record_id", "dataset_id", "source_id", "source_type", "created_by")
    times = ("last_updated_by", "created_time", "last_update_time")
    # MLflow's own way to tell that two records have the same inputs.
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return {
        **{name: found.get(name) for name in (*plain, *times)},
        **{name: json.dumps(found.get(name)) for name in ("expectations", "tags", "source")},
        "inputs": json.dumps(inputs),
        "outputs": json.dumps({_WRAPPED: found["outputs"]}) if "outputs" in found else None,
        "input_hash": digest,
    }


def scorer(versions: Iterable[Json], endpoints: Mapping[str, str]) -> Rows:
    """A scorer with all its versions.

    Args:
        versions: As the API gives them: a gateway's endpoint by its name.
        endpoints: Ids of endpoints by name: what MLflow stores.
    """
    rows = new_rows()
    for found in versions:
        id_ = found["scorer_id"]
        own = {"scorer_id": id_, "experiment_id": int(found["experiment_id"])}
        if not rows["scorers"]:
            rows["scorers"].append({**own, "scorer_name": found["scorer_name"]})
        rows["scorer_versions"].append(
            {
                "scorer_id": id_,
                "scorer_version": int(found["scorer_version"]),
                "serialized_scorer": with_endpoints(found["serialized_scorer"], endpoints),
                "creation_time": found.get("creation_time"),
            }
        )
        keep_unknown(rows, "scorer_versions", found)
    return rows


def online_config(found: Json) -> Rows:
    """How much of the traces a scorer looks at, and which ones."""
    rows = new_rows()
    names = ("online_scoring_config_id", "scorer_id", "sample_rate", "filter_string")
    row = {name: found[name] for name in names if name in found}
    experiment = {"experiment_id": int(found["experiment_id"])}
    rows["online_scoring_configs"].append(row | experiment)
    keep_unknown(rows, "online_scoring_configs", found)
    return rows


def label_schema(found: Json) -> Rows:
    """A question that reviewers answer."""
    rows = new_rows()
    ((kind, config),) = found["input"].items()
    rows["label_schemas"].append(
        {
            "schema_id": found["schema_id"],
            "experiment_id": int(found["experiment_id"]),
            "name": found["name"],
            "type": found["type"].lower(),
            "instruction": found.get("instruction"),
            "enable_comment": found.get("enable_comment", False),
            "input_type": kind,
            "input_config": json.dumps({**_UNSET.get(kind, {}), **config}),
            "created_by": found.get("created_by") or None,
            "created_time": found.get("created_at", 0),
            "last_update_time": found.get("last_updated_at", 0),
            "is_default": found.get("is_default", False),
        }
    )
    keep_unknown(rows, "label_schemas", found)
    return rows


def review_queue(found: Json, items: Iterable[Json]) -> Rows:
    """A review queue with its users, questions and items."""
    rows = new_rows()
    id_ = found["queue_id"]
    names = ("queue_id", "name", "creation_time_ms", "last_update_time_ms")
    rows["review_queues"].append(
        {
            **{name: found.get(name) for name in names},
            "experiment_id": int(found["experiment_id"]),
            "name_key": found["name"].lower(),
            "queue_type": found["queue_type"].lower(),
            "created_by": found.get("created_by") or None,
        }
    )
    keep_unknown(rows, "review_queues", found)
    for user in found.get("users", ()):
        rows["review_queue_users"].append({"queue_id": id_, "user_id": user})
    for schema in found.get("schema_ids", ()):
        rows["review_queue_label_schemas"].append({"queue_id": id_, "schema_id": schema})
    for item in items:
        rows["review_queue_items"].append(_item(item, id_))
        keep_unknown(rows, "review_queue_items", item)
    return rows


def _item(found: Json, queue: str) -> dict[str, Any]:
    times = ("completed_time_ms", "creation_time_ms", "last_update_time_ms")
    return {
        **{name: found.get(name) for name in times},
        "queue_id": queue,
        "item_id": found["item_id"],
        "item_type": found["item_type"].lower(),
        "status": found["status"].lower(),
        "completed_by": found.get("completed_by") or None,
    }
