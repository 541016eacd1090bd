"""The AI gateway: definitions and endpoints first, as scorers name them; then what names scorers.

All are known again by their names, or by what is said of them. One that the server has otherwise
stays as it is, and is listed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from mlporter.execute.server.shared.objects import (
    count_included,
    lacking,
    leave_other,
    make_one,
    new_objects,
    rows_below,
    source_rows,
    try_one,
)
from mlporter.stores.server.writing.gateway import PLACEHOLDER_SECRET, GatewayWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row

__all__ = ["write_gateway", "write_gateway_rules"]

_FALLBACK = "FALLBACK"
_TABLES = ("model_definitions", "endpoints", "endpoint_model_mappings", "endpoint_tags")
_RULES = ("endpoint_bindings", "budget_policies", "guardrails", "guardrail_configs")


def write_gateway(context: ServerContext) -> None:
    """Model definitions without their secrets, and endpoints with their models and tags."""
    offered = [context.is_offered("gateway", table) for table in _TABLES]
    if any(offered):
        _definitions(context)
        _endpoints(context)
        _tags(context)


def write_gateway_rules(context: ServerContext) -> None:
    """What uses endpoints, budgets, and guardrails; after scorers, which these name."""
    families = ("gateway", "budgets", "guardrails", "guardrails")
    steps = (_bindings, _budgets, _guardrails, _configs)
    for family, table, step in zip(families, _RULES, steps, strict=True):
        if context.is_offered(family, table):
            step(context)


def _api(context: ServerContext, mapped: Row) -> GatewayWriter:
    """What writes into the workspace of a row, which is in the server's terms."""
    return GatewayWriter(context.writer_of(mapped["workspace"] or "default"))


def _told(mapped: Row, *names: str) -> Row:
    """What of a row is said to the server: what is there."""
    return {name: mapped[name] for name in names if mapped[name] is not None}


def _along(context: ServerContext, table: str, row: Row) -> Row:
    """What a newer MLflow says of a row beside."""
    return context.along.named(table, *(row[name] for name in context.tables[table].key))


# --- Model definitions and endpoints --------------------------------------------------------------


def _definitions(context: ServerContext) -> None:
    """Make model definitions; a secret stands in for each one's own as long as that takes."""
    table, new = "model_definitions", defaultdict(list)
    workspaces = {
        context.ids.workspace(r["workspace"] or "default") for r in source_rows(context, table)
    }
    for row, mapped in new_objects(context, table, "model_definition_id", "name"):
        new[mapped["workspace"] or "default"].append((row, mapped))
    for workspace in sorted(workspaces):
        api = GatewayWriter(context.writer_of(workspace))
        for row, mapped in new[workspace]:
            along = _along(context, table, row)
            make = partial(_definition, api, along | mapped, tuple(along))
            make_one(context, table, row["model_definition_id"], make, row["name"])
        context.attempt("secrets", PLACEHOLDER_SECRET, api.forget_placeholder)


def _definition(api: GatewayWriter, mapped: Row, along: tuple[str, ...]) -> str:
    names = (*along, "name", "provider", "model_name", "created_by")
    return api.model_definition(_told(mapped, *names) | {"secret_id": api.placeholder()})


def _endpoints(context: ServerContext) -> None:
    made = set()
    for row, mapped in new_objects(context, "endpoints", "endpoint_id", "name"):
        id_ = row["endpoint_id"]
        models = rows_below(context, "endpoint_model_mappings", "endpoint_id", id_)
        body = _along(context, "endpoints", row) | _endpoint(mapped, models)
        answer = {"model_mappings": body["model_configs"]}
        context.along.put_into(answer, "endpoints", context.ids, id_)
        make = partial(_api(context, mapped).endpoint, body)
        if make_one(context, "endpoints", id_, make, row["name"] or id_):
            made.add(id_)
    known = context.ids.of("endpoints")
    count_included(context, "endpoint_model_mappings", "endpoint_id", made, known)


def _endpoint(mapped: Row, models: list[Row]) -> Row:
    """The request that makes an endpoint; spare models are tried in the order that it gives."""
    fallback = json.loads(mapped["fallback_config_json"] or "{}")
    order = {model: at for at, model in enumerate(fallback.get("model_definition_ids") or ())}
    models = sorted(models, key=lambda m: order.get(m["model_definition_id"], -1))
    names = ("model_definition_id", "linkage_type", "weight", "fallback_order")
    body: Row = {"model_configs": [_told(model, *names) for model in models]}
    body |= _told(mapped, "name", "created_by", "routing_strategy", "usage_tracking")
    if mapped["experiment_id"] is not None:
        body["experiment_id"] = str(mapped["experiment_id"])
    config = {k: fallback[k] for k in ("strategy", "max_attempts") if fallback.get(k) is not None}
    is_told = config or (fallback and not order)
    return body | ({"fallback_config": config} if is_told else {})


def _tags(context: ServerContext) -> None:
    for owner, row, mapped, _ in _of_endpoints(context, "endpoint_tags"):
        inside = context.along.inside("endpoints", row["endpoint_id"])
        body = {
            **inside.get(("tags", row["key"]), {}),
            "endpoint_id": mapped["endpoint_id"],
            "key": row["key"],
            "value": row["value"] or "",
        }
        write = partial(_api(context, owner).endpoint_tag, body)
        try_one(context, "endpoint_tags", owner["name"], write, row["key"])


def _of_endpoints(context: ServerContext, table: str) -> Iterator[tuple[Row, Row, Row, bool]]:
    """Rows that the server lacks (see `lacking`) of endpoints that it has, with the endpoint."""
    known = context.ids.of("endpoints")
    owners = {
        row["endpoint_id"]: row
        | {"workspace": context.ids.workspace(row["workspace"] or "default")}
        for row in source_rows(context, "endpoints")
    }
    for row, mapped, changed in lacking(context, table):
        if row["endpoint_id"] in known:
            yield owners[row["endpoint_id"]], row, mapped, changed
        else:
            context.skip(table)  # the endpoint is noted


# --- What names scorers ---------------------------------------------------------------------------


def _bindings(context: ServerContext) -> None:
    table = "endpoint_bindings"
    for owner, row, mapped, _ in _of_endpoints(context, table):
        scorer, name = row["resource_id"], f"{owner['name']}/{row['resource_id']}"
        if row["resource_type"] == "scorer" and scorer not in context.ids.of("scorers"):
            context.leave(table, name, "", "refused", "its scorer is not on the server")
            context.skip(table)
            continue
        bind = _api(context, owner).bind
        ends = _told(mapped, "endpoint_id", "resource_type", "resource_id")
        try_one(context, table, name, partial(bind, ends, _along(context, table, row)))


def _budgets(context: ServerContext) -> None:
    names = ("budget_unit", "budget_amount", "target_scope", "budget_action", "target_value")
    for row, mapped in new_objects(context, "budget_policies", "budget_policy_id"):
        duration = {"unit": mapped["duration_unit"], "value": mapped["duration_value"]}
        along = _along(context, "budget_policies", row)
        body = along | _told(mapped, *names, "created_by") | {"duration": duration}
        make = partial(_api(context, mapped).budget, body)
        make_one(context, "budget_policies", row["budget_policy_id"], make)


def _guardrails(context: ServerContext) -> None:
    names = ("name", "scorer_id", "scorer_version", "stage", "action", "action_endpoint_id")
    for row, mapped in new_objects(context, "guardrails", "guardrail_id", "name"):
        along = _along(context, "guardrails", row)
        make = partial(_api(context, mapped).guardrail, along | _told(mapped, *names))
        make_one(context, "guardrails", row["guardrail_id"], make, row["name"])


def _configs(context: ServerContext) -> None:
    table = "guardrail_configs"
    for owner, row, mapped, changed in _of_endpoints(context, table):
        name = f"{owner['name']}/{row['guardrail_id']}"
        if row["guardrail_id"] not in context.ids.of("guardrails"):
            context.skip(table)  # the guardrail is noted
        elif changed:
            leave_other(context, table, name)
        else:
            ends = _told(mapped, "endpoint_id", "guardrail_id", "execution_order")
            body = _along(context, table, row) | ends
            try_one(context, table, name, partial(_api(context, owner).guard, body))
