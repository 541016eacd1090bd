"""Registered models and prompts, their versions, and webhooks."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import WORKSPACE, bigint, foreign_key, integer, soft, text
from mlporter.catalogue.types import Form, HiddenReference, Place, Reference, Table

__all__ = ["TABLES"]

REGISTERED_MODELS = Table(
    name="registered_models",
    key=("workspace", "name"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        bigint("creation_time"),
        bigint("last_updated_time"),
        text("description", 5000),
    ),
    references=(WORKSPACE,),
    bulky=True,
    workspace=True,
)
"""Registered models, and prompts: those with the tag ``mlflow.prompt.is_prompt``."""

REGISTERED_MODEL_TAGS = Table(
    name="registered_model_tags",
    key=("workspace", "name", "key"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("key", 250, null=False),
        text("value", 5000),
    ),
    parent="registered_models",
    references=(foreign_key(("workspace", "name"), "registered_models"),),
    hidden=(HiddenReference("value", "experiments", Form.LIST, ("key", "_mlflow_experiment_ids")),),
    bulky=True,
    workspace=True,
)
"""Tags of registered models and prompts."""

MODEL_VERSIONS = Table(
    name="model_versions",
    key=("workspace", "name", "version"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        integer("version", null=False),
        bigint("creation_time"),
        bigint("last_updated_time"),
        text("description", 5000),
        text("user_id", 256),
        text("current_stage", 20),
        text("source", 500),
        text("storage_location", 500),
        text("run_id", 32),
        text("run_link", 500),
        text("status", 20),
        text("status_message", 500),
    ),
    parent="registered_models",
    references=(
        foreign_key(("workspace", "name"), "registered_models"),
        soft("run_id", "runs", "run_uuid"),
    ),
    hidden=(
        HiddenReference("source", "runs", Form.URI),
        HiddenReference("source", "logged_models", Form.URI),
        HiddenReference("source", "registered_models", Form.URI),
        HiddenReference("storage_location", "runs", Form.URI),
        HiddenReference("storage_location", "logged_models", Form.URI),
        HiddenReference("storage_location", "registered_models", Form.URI),
        HiddenReference("run_link", "experiments", Form.LINK),
        HiddenReference("run_link", "runs", Form.LINK),
    ),
    places=(
        Place("source"),
        Place("storage_location"),
    ),
    bulky=True,
    workspace=True,
)
"""Versions of models and prompts. Deleted ones stay, in the stage ``Deleted_Internal`` with their
``source``, ``run_id`` and ``run_link`` replaced by ``REDACTED-…``, so that numbers are not
given out twice. A prompt's ``source`` is a placeholder without meaning."""

MODEL_VERSION_TAGS = Table(
    name="model_version_tags",
    key=("workspace", "name", "version", "key"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        integer("version", null=False),
        text("key", 250, null=False),
        text("value"),
    ),
    parent="model_versions",
    references=(foreign_key(("workspace", "name", "version"), "model_versions"),),
    hidden=(
        HiddenReference("value", "runs", Form.LIST, ("key", "mlflow.prompt.associatedRunIds")),
    ),
    bulky=True,
    workspace=True,
)
"""Tags of versions; those of deleted versions stay. A prompt's text is one of them."""

REGISTERED_MODEL_ALIASES = Table(
    name="registered_model_aliases",
    key=("workspace", "name", "alias"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("alias", 256, null=False),
        integer("version", null=False),
    ),
    parent="registered_models",
    references=(
        foreign_key(("workspace", "name"), "registered_models"),
        Reference(
            ("workspace", "name", "version"),
            "model_versions",
            ("workspace", "name", "version"),
            enforced=False,
        ),
    ),
    workspace=True,
)
"""Aliases; MLflow deletes them with the version that they name."""

WEBHOOKS = Table(
    name="webhooks",
    key=("webhook_id",),
    columns=(
        text("webhook_id", 256, null=False),
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("description", 1000),
        text("url", 500, null=False),
        text("status", 20, null=False),
        text("secret", 1000, secret=True),
        bigint("creation_timestamp"),
        bigint("last_updated_timestamp"),
        bigint("deleted_timestamp"),
    ),
    references=(WORKSPACE,),
    workspace=True,
)
"""Webhooks. ``secret`` is encrypted with a key of the server, and of no use without it. ``url`` may
itself let whoever knows it post messages."""

WEBHOOK_EVENTS = Table(
    name="webhook_events",
    key=("webhook_id", "entity", "action"),
    columns=(
        text("webhook_id", 256, null=False),
        text("entity", 50, null=False),
        text("action", 50, null=False),
    ),
    parent="webhooks",
    references=(foreign_key(("webhook_id",), "webhooks"),),
)
"""What webhooks listen to."""

TABLES = (
    REGISTERED_MODELS,
    REGISTERED_MODEL_TAGS,
    MODEL_VERSIONS,
    MODEL_VERSION_TAGS,
    REGISTERED_MODEL_ALIASES,
    WEBHOOKS,
    WEBHOOK_EVENTS,
)
"""In an order in which parents come before children."""
