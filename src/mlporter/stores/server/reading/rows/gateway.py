"""The AI gateway, without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlporter.stores.server.reading.rows import Json, Rows, new_rows, pairs, stamped
from mlporter.stores.server.reading.unknown_fields import keep_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["binding", "budget", "endpoint", "guardrail", "guardrail_config", "model_definition"]

_MADE = ("created_by", "created_at", "last_updated_by", "last_updated_at")


def _made(found: Json, names: Iterable[str] = _MADE) -> dict[str, Any]:
    """Who made and changed it, and when; the API gives "" for nobody."""
    return {name: stamped(found.get(name)) for name in names}


def model_definition(found: Json, workspace: str) -> Rows:
    """Which model of which provider."""
    rows = new_rows()
    names = ("model_definition_id", "name", "provider", "model_name")
    row = {name: found.get(name) for name in names} | _made(found)
    secret = {"secret_id": stamped(found.get("secret_id")), "workspace": workspace}
    rows["model_definitions"].append(row | secret)
    keep_unknown(rows, "model_definitions", found)
    return rows


def endpoint(found: Json, workspace: str) -> Rows:
    """An endpoint with the models behind it, and its tags."""
    rows = new_rows()
    id_ = found["endpoint_id"]
    mappings = found.get("model_mappings", ())
    experiment = found.get("experiment_id")
    rows["endpoints"].append(
        {
            "endpoint_id": id_,
            "name": found.get("name"),
            **_made(found),
            "routing_strategy": stamped(found.get("routing_strategy")),
            "fallback_config_json": _fallback(found, mappings),
            "experiment_id": int(experiment) if experiment else None,
            "usage_tracking": found.get("usage_tracking", False),
            "workspace": workspace,
        }
    )
    keep_unknown(rows, "endpoints", found)
    for mapping in mappings:
        names = ("mapping_id", "model_definition_id", "weight", "linkage_type", "fallback_order")
        row = {name: mapping.get(name) for name in names} | {"endpoint_id": id_}
        rows["endpoint_model_mappings"].append(row | _made(mapping, ("created_by", "created_at")))
    for key, value in pairs(found.get("tags")):
        rows["endpoint_tags"].append({"endpoint_id": id_, "key": key, "value": value})
    return rows


def _fallback(found: Json, mappings: Iterable[Json]) -> str | None:
    """What MLflow stores of falling back: its settings, and the models in their order."""
    if "fallback_config" not in found:
        return None
    config = found["fallback_config"]
    spare = [m for m in mappings if m.get("linkage_type") == "FALLBACK"]
    spare.sort(key=lambda mapping: mapping.get("fallback_order", 0))
    return json.dumps(
        {
            "strategy": config.get("strategy"),
            "max_attempts": config.get("max_attempts"),
            "model_definition_ids": [mapping["model_definition_id"] for mapping in spare],
        }
    )


def binding(found: Json) -> Rows:
    """What uses an endpoint."""
    rows = new_rows()
    names = ("endpoint_id", "resource_type", "resource_id", "display_name")
    rows["endpoint_bindings"].append({name: found.get(name) for name in names} | _made(found))
    keep_unknown(rows, "endpoint_bindings", found)
    return rows


def budget(found: Json, workspace: str) -> Rows:
    """A limit on spending."""
    rows = new_rows()
    names = ("budget_policy_id", "budget_unit", "budget_amount", "target_scope", "budget_action")
    duration = found.get("duration", {})
    rows["budget_policies"].append(
        {name: found.get(name) for name in names}
        | _made(found)
        | {
            "duration_unit": duration.get("unit"),
            "duration_value": duration.get("value"),
            "workspace": workspace,
            "target_value": stamped(found.get("target_value")),
        }
    )
    keep_unknown(rows, "budget_policies", found)
    return rows


def guardrail(found: Json, workspace: str) -> Rows:
    """A scorer's version, and what to do about its verdict."""
    rows = new_rows()
    scorer = found["scorer"]
    names = ("guardrail_id", "name", "stage", "action")
    rows["guardrails"].append(
        {name: found.get(name) for name in names}
        | _made(found)
        | {
            "scorer_id": scorer["scorer_id"],
            "scorer_version": int(scorer["scorer_version"]),
            "action_endpoint_id": stamped(found.get("action_endpoint_id")),
            "workspace": workspace,
        }
    )
    keep_unknown(rows, "guardrails", found)
    return rows


def guardrail_config(found: Json, workspace: str) -> Rows:
    """Which guardrail stands before which endpoint."""
    rows = new_rows()
    names = ("endpoint_id", "guardrail_id", "execution_order")
    row = {name: found.get(name) for name in names} | {"workspace": workspace}
    rows["guardrail_configs"].append(row | _made(found, ("created_by", "created_at")))
    keep_unknown(rows, "guardrail_configs", found)
    return rows
