"""Logged models, registered models, their versions, prompts and webhooks."""

from __future__ import annotations

from typing import Any

from mlporter.stores.rows.synthetic_ids import dataset_uuid
from mlporter.stores.server.reading.rows import Json, Rows, new_rows, pairs
from mlporter.stores.server.reading.unknown_fields import keep_unknown

__all__ = ["logged_model", "model_version", "registered_model", "webhook"]

_STATUS = {"LOGGED_MODEL_PENDING": 1, "LOGGED_MODEL_READY": 2, "LOGGED_MODEL_UPLOAD_FAILED": 3}


def logged_model(found: Json) -> Rows:
    """A logged model with parameters, tags and metrics."""
    rows = new_rows()
    info, data = found["info"], found.get("data", {})
    id_, experiment_id = info["model_id"], int(info["experiment_id"])
    own: dict[str, Any] = {"model_id": id_, "experiment_id": experiment_id}
    rows["logged_models"].append(
        own
        | {
            "name": info.get("name", ""),
            "artifact_location": info.get("artifact_uri", ""),
            "creation_timestamp_ms": info.get("creation_timestamp_ms", 0),
            "last_updated_timestamp_ms": info.get("last_updated_timestamp_ms", 0),
            "status": _STATUS.get(info.get("status", ""), 0),
            "lifecycle_stage": "active",
            "model_type": info.get("model_type"),
            "source_run_id": info.get("source_run_id"),
            "status_message": info.get("status_message"),
        }
    )
    keep_unknown(rows, "logged_models", found)
    for key, value in pairs(data.get("params")):
        rows["logged_model_params"].append(own | {"param_key": key, "param_value": value})
    for key, value in pairs(info.get("tags")):
        rows["logged_model_tags"].append(own | {"tag_key": key, "tag_value": value})
    for metric in data.get("metrics", ()):
        rows["logged_model_metrics"].append(own | _metric(metric, experiment_id))
    return rows


def _metric(metric: Json, experiment_id: int) -> dict[str, Any]:
    name, digest = metric.get("dataset_name"), metric.get("dataset_digest")
    uuid = dataset_uuid(experiment_id, name, digest) if name and digest else None
    return {
        "run_id": metric.get("run_id", ""),
        "metric_name": metric["key"],
        "metric_step": metric.get("step", 0),
        "metric_timestamp_ms": metric.get("timestamp", 0),
        "metric_value": float(metric.get("value", 0.0)),
        "dataset_uuid": uuid,
        "dataset_name": name,
        "dataset_digest": digest,
    }


def registered_model(found: Json, workspace: str) -> Rows:
    """A registered model or prompt with tags and aliases."""
    rows = new_rows()
    own = {"workspace": workspace, "name": found["name"]}
    rows["registered_models"].append(
        own
        | {
            "creation_time": found.get("creation_timestamp"),
            "last_updated_time": found.get("last_updated_timestamp"),
            "description": found.get("description"),
        }
    )
    keep_unknown(rows, "registered_models", found)
    for key, value in pairs(found.get("tags")):
        rows["registered_model_tags"].append(own | {"key": key, "value": value})
    for alias in found.get("aliases", ()):
        version = {"alias": alias["alias"], "version": int(alias["version"])}
        rows["registered_model_aliases"].append(own | version)
    return rows


def model_version(found: Json, workspace: str, location: str | None) -> Rows:
    """A version of a model or prompt with its tags.

    Args:
        found: As the API gives it.
        workspace: Where it is.
        location: Where its files are, as far as the server said.
    """
    rows = new_rows()
    own = {"workspace": workspace, "name": found["name"], "version": int(found["version"])}
    rows["model_versions"].append(
        own
        | {
            "creation_time": found.get("creation_timestamp"),
            "last_updated_time": found.get("last_updated_timestamp"),
            "description": found.get("description"),
            "user_id": found.get("user_id"),
            "current_stage": found.get("current_stage"),
            "source": found.get("source"),
            "storage_location": location,
            "run_id": found.get("run_id"),
            "run_link": found.get("run_link"),
            "status": found.get("status"),
            "status_message": found.get("status_message"),
        }
    )
    keep_unknown(rows, "model_versions", found)
    for key, value in pairs(found.get("tags")):
        rows["model_version_tags"].append(own | {"key": key, "value": value})
    return rows


def webhook(found: Json, workspace: str) -> Rows:
    """A webhook and what it listens to; its secret is not shown."""
    rows = new_rows()
    id_ = found["webhook_id"]
    rows["webhooks"].append(
        {
            "webhook_id": id_,
            "workspace": workspace,
            "name": found.get("name", ""),
            "description": found.get("description"),
            "url": found.get("url", ""),
            "status": found.get("status", "ACTIVE"),
            "creation_timestamp": found.get("creation_timestamp"),
            "last_updated_timestamp": found.get("last_updated_timestamp"),
        }
    )
    keep_unknown(rows, "webhooks", found)
    for event in found.get("events", ()):
        told = {"entity": event["entity"].lower(), "action": event["action"].lower()}
        rows["webhook_events"].append({"webhook_id": id_, **told})
    return rows
