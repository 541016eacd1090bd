"""The AI gateway: secrets, model definitions, endpoints, budgets and guardrails."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    WORKSPACE,
    bigint,
    blob,
    boolean,
    double,
    experiment_id,
    foreign_key,
    integer,
    json,
    soft,
    text,
)
from mlporter.catalogue.types import Form, HiddenReference, Kind, Table

__all__ = ["TABLES"]

SECRETS = Table(
    name="secrets",
    kind=Kind.SECRET,
    key=("secret_id",),
    columns=(
        text("secret_id", 36, null=False),
        text("secret_name", 255, null=False),
        blob("encrypted_value", null=False),
        blob("wrapped_dek", null=False),
        integer("kek_version", null=False),
        json("masked_value", null=False, cap=500),
        text("provider", 64),
        json("auth_config"),
        text("description"),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("last_updated_by", 255),
        bigint("last_updated_at", null=False),
        text("workspace", 63, null=False),
    ),
    references=(WORKSPACE,),
    unique=(("workspace", "secret_name"),),
    bulky=True,
    workspace=True,
)
"""API keys of the gateway, encrypted. ``secret_id`` and ``secret_name`` are part of the encryption:
change either and the value cannot be read any more."""

MODEL_DEFINITIONS = Table(
    name="model_definitions",
    key=("model_definition_id",),
    columns=(
        text("model_definition_id", 36, null=False),
        text("name", 255, null=False),
        text("secret_id", 36, secret=True),
        text("provider", 64, null=False),
        text("model_name", 256, null=False),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("last_updated_by", 255),
        bigint("last_updated_at", null=False),
        text("workspace", 63, null=False),
    ),
    references=(
        foreign_key(("secret_id",), "secrets"),
        WORKSPACE,
    ),
    unique=(("workspace", "name"),),
    workspace=True,
)
"""Which model of which provider, and the secret that opens it."""

ENDPOINTS = Table(
    name="endpoints",
    key=("endpoint_id",),
    columns=(
        text("endpoint_id", 36, null=False),
        text("name", 255),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("last_updated_by", 255),
        bigint("last_updated_at", null=False),
        text("routing_strategy", 64),
        json("fallback_config_json"),
        experiment_id(),
        boolean("usage_tracking", null=False),
        text("workspace", 63, null=False),
    ),
    references=(
        foreign_key(("experiment_id",), "experiments"),
        WORKSPACE,
    ),
    hidden=(
        HiddenReference(
            "fallback_config_json",
            "model_definitions",
            Form.JSON,
            fields=("model_definition_ids",),
        ),
    ),
    unique=(("workspace", "name"),),
    bulky=True,
    workspace=True,
)
"""Gateway endpoints. ``experiment_id`` is where their traces go."""

ENDPOINT_MODEL_MAPPINGS = Table(
    name="endpoint_model_mappings",
    key=("mapping_id",),
    columns=(
        text("mapping_id", 36, null=False),
        text("endpoint_id", 36, null=False),
        text("model_definition_id", 36, null=False),
        double("weight", null=False),
        text("linkage_type", 64, null=False),
        integer("fallback_order"),
        text("created_by", 255),
        bigint("created_at", null=False),
    ),
    parent="endpoints",
    references=(
        foreign_key(("endpoint_id",), "endpoints"),
        foreign_key(("model_definition_id",), "model_definitions"),
    ),
    unique=(("endpoint_id", "model_definition_id", "linkage_type"),),
)
"""The models behind an endpoint."""

ENDPOINT_BINDINGS = Table(
    name="endpoint_bindings",
    key=("endpoint_id", "resource_type", "resource_id"),
    columns=(
        text("endpoint_id", 36, null=False),
        text("resource_type", 50, null=False),
        text("resource_id", 255, null=False),
        bigint("created_at", null=False),
        text("created_by", 255),
        bigint("last_updated_at", null=False),
        text("last_updated_by", 255),
        text("display_name", 255),
    ),
    parent="endpoints",
    references=(
        foreign_key(("endpoint_id",), "endpoints"),
        soft("resource_id", "scorers", "scorer_id", where=("resource_type", "scorer")),
    ),
)
"""What uses an endpoint: scorers, so far."""

ENDPOINT_TAGS = Table(
    name="endpoint_tags",
    key=("endpoint_id", "key"),
    columns=(
        text("endpoint_id", 36, null=False),
        text("key", 250, null=False),
        text("value", 5000),
    ),
    parent="endpoints",
    references=(foreign_key(("endpoint_id",), "endpoints"),),
    bulky=True,
)
"""Tags of endpoints."""

BUDGET_POLICIES = Table(
    name="budget_policies",
    key=("budget_policy_id",),
    columns=(
        text("budget_policy_id", 36, null=False),
        text("budget_unit", 32, null=False),
        double("budget_amount", null=False),
        text("duration_unit", 32, null=False),
        integer("duration_value", null=False),
        text("target_scope", 32, null=False),
        text("budget_action", 32, null=False),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("last_updated_by", 255),
        bigint("last_updated_at", null=False),
        text("workspace", 63, null=False),
        text("target_value", 255),
    ),
    references=(
        WORKSPACE,
        soft("target_value", "endpoints", "endpoint_id", where=("target_scope", "ENDPOINT")),
    ),
    workspace=True,
)
"""Budgets. ``target_value`` is an endpoint's id or a user's name, as ``target_scope`` says."""

GUARDRAILS = Table(
    name="guardrails",
    key=("guardrail_id",),
    columns=(
        text("guardrail_id", 36, null=False),
        text("name", 255, null=False),
        text("scorer_id", 36, null=False),
        integer("scorer_version", null=False),
        text("stage", 32, null=False),
        text("action", 32, null=False),
        text("action_endpoint_id", 36),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("last_updated_by", 255),
        bigint("last_updated_at", null=False),
        text("workspace", 63, null=False),
    ),
    references=(
        foreign_key(("action_endpoint_id",), "endpoints", ("endpoint_id",)),
        foreign_key(("scorer_id", "scorer_version"), "scorer_versions"),
        WORKSPACE,
    ),
    workspace=True,
)
"""Guardrails: a scorer's version, and what to do about its verdict."""

GUARDRAIL_CONFIGS = Table(
    name="guardrail_configs",
    key=("endpoint_id", "guardrail_id"),
    columns=(
        text("endpoint_id", 36, null=False),
        text("guardrail_id", 36, null=False),
        integer("execution_order"),
        text("created_by", 255),
        bigint("created_at", null=False),
        text("workspace", 63, null=False),
    ),
    parent="endpoints",
    references=(
        foreign_key(("endpoint_id",), "endpoints"),
        foreign_key(("guardrail_id",), "guardrails"),
        WORKSPACE,
    ),
    workspace=True,
)
"""Which guardrails stand before which endpoint."""

TABLES = (
    SECRETS,
    MODEL_DEFINITIONS,
    ENDPOINTS,
    ENDPOINT_MODEL_MAPPINGS,
    ENDPOINT_BINDINGS,
    ENDPOINT_TAGS,
    BUDGET_POLICIES,
    GUARDRAILS,
    GUARDRAIL_CONFIGS,
)
"""In an order in which parents come before children."""
