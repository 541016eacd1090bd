"""Evaluation datasets, scorers, labelling and review."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    WORKSPACE,
    bigint,
    boolean,
    double,
    experiment_id,
    foreign_key,
    integer,
    json,
    soft,
    text,
)
from mlporter.catalogue.types import Form, HiddenReference, Table

__all__ = ["TABLES"]

EVALUATION_DATASETS = Table(
    name="evaluation_datasets",
    key=("dataset_id",),
    columns=(
        text("dataset_id", 36, null=False),
        text("workspace", 63, null=False),
        text("name", 255, null=False),
        json("schema"),
        json("profile"),
        text("digest", 64),
        bigint("created_time"),
        bigint("last_update_time"),
        text("created_by", 255),
        text("last_updated_by", 255),
    ),
    references=(WORKSPACE,),
    bulky=True,
    workspace=True,
)
"""Evaluation datasets. Names need not be unique; experiments are tied to them by
`entity_associations`."""

EVALUATION_DATASET_RECORDS = Table(
    name="evaluation_dataset_records",
    key=("dataset_record_id",),
    columns=(
        text("dataset_record_id", 36, null=False),
        text("dataset_id", 36, null=False),
        json("inputs", null=False),
        json("outputs"),
        json("expectations"),
        json("tags"),
        json("source"),
        text("source_id", 36),
        text("source_type", 255),
        bigint("created_time"),
        bigint("last_update_time"),
        text("created_by", 255),
        text("last_updated_by", 255),
        text("input_hash", 64, null=False),
    ),
    parent="evaluation_datasets",
    references=(
        foreign_key(("dataset_id",), "evaluation_datasets"),
        soft("source_id", "trace_info", "request_id", where=("source_type", "TRACE")),
    ),
    hidden=(HiddenReference("source", "trace_info", Form.JSON, fields=("trace_id",)),),
    unique=(("dataset_id", "input_hash"),),
    bulky=True,
)
"""Records of evaluation datasets. ``outputs`` are wrapped: ``{"mlflow_wrapped": …}``."""

EVALUATION_DATASET_TAGS = Table(
    name="evaluation_dataset_tags",
    key=("dataset_id", "key"),
    columns=(
        text("dataset_id", 36, null=False),
        text("key", 255, null=False),
        text("value", 5000),
    ),
    parent="evaluation_datasets",
    references=(foreign_key(("dataset_id",), "evaluation_datasets"),),
    bulky=True,
)
"""Tags of evaluation datasets."""

SCORERS = Table(
    name="scorers",
    key=("scorer_id",),
    columns=(
        text("scorer_id", 36, null=False),
        experiment_id(null=False),
        text("scorer_name", 256, null=False),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    unique=(("experiment_id", "scorer_name"),),
)
"""Registered scorers."""

SCORER_VERSIONS = Table(
    name="scorer_versions",
    key=("scorer_id", "scorer_version"),
    columns=(
        text("scorer_id", 36, null=False),
        integer("scorer_version", null=False),
        json("serialized_scorer", null=False),
        bigint("creation_time"),
    ),
    parent="scorers",
    references=(foreign_key(("scorer_id",), "scorers"),),
    hidden=(HiddenReference("serialized_scorer", "endpoints", Form.ENDPOINT),),
    bulky=True,
)
"""Versions of scorers. A model ``gateway:/<endpoint id>`` in the JSON is a row of `endpoints`."""

ONLINE_SCORING_CONFIGS = Table(
    name="online_scoring_configs",
    key=("online_scoring_config_id",),
    columns=(
        text("online_scoring_config_id", 36, null=False),
        text("scorer_id", 36, null=False),
        double("sample_rate", null=False),
        experiment_id(null=False),
        text("filter_string"),
    ),
    parent="scorers",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("scorer_id",), "scorers"),
    ),
    bulky=True,
)
"""Which scorers run on which traces as they come in."""

LABEL_SCHEMAS = Table(
    name="label_schemas",
    key=("schema_id",),
    columns=(
        text("schema_id", 36, null=False),
        experiment_id(null=False),
        text("name", 250, null=False),
        text("type", 16, null=False),
        text("instruction"),
        boolean("enable_comment", null=False),
        text("input_type", 32, null=False),
        json("input_config", null=False),
        text("created_by", 255),
        bigint("created_time", null=False),
        bigint("last_update_time", null=False),
        boolean("is_default", null=False),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    unique=(("experiment_id", "name"),),
    bulky=True,
)
"""Questions that reviewers answer."""

REVIEW_QUEUES = Table(
    name="review_queues",
    key=("queue_id",),
    columns=(
        text("queue_id", 36, null=False),
        experiment_id(null=False),
        text("name", 250, null=False),
        text("name_key", 250, null=False),
        text("queue_type", 16, null=False),
        text("created_by", 255),
        bigint("creation_time_ms", null=False),
        bigint("last_update_time_ms", null=False),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    unique=(("experiment_id", "name_key"),),
)
"""Review queues. ``name_key`` is ``name`` in lower case, as Python lowers it."""

REVIEW_QUEUE_ITEMS = Table(
    name="review_queue_items",
    key=("queue_id", "item_id"),
    columns=(
        text("queue_id", 36, null=False),
        text("item_id", 50, null=False),
        text("item_type", 16, null=False),
        text("status", 16, null=False),
        text("completed_by", 250),
        bigint("completed_time_ms"),
        bigint("creation_time_ms", null=False),
        bigint("last_update_time_ms", null=False),
    ),
    parent="review_queues",
    references=(
        foreign_key(("queue_id",), "review_queues"),
        soft("item_id", "trace_info", "request_id", where=("item_type", "trace")),
    ),
)
"""What waits for review, or had it: traces."""

REVIEW_QUEUE_LABEL_SCHEMAS = Table(
    name="review_queue_label_schemas",
    key=("queue_id", "schema_id"),
    columns=(
        text("queue_id", 36, null=False),
        text("schema_id", 36, null=False),
    ),
    parent="review_queues",
    references=(
        foreign_key(("queue_id",), "review_queues"),
        soft("schema_id", "label_schemas"),
    ),
)
"""The questions of a queue. MLflow leaves rows of deleted schemas here."""

REVIEW_QUEUE_USERS = Table(
    name="review_queue_users",
    key=("queue_id", "user_id"),
    columns=(
        text("queue_id", 36, null=False),
        text("user_id", 250, null=False),
    ),
    parent="review_queues",
    references=(foreign_key(("queue_id",), "review_queues"),),
)
"""Who reviews."""

ENTITY_ASSOCIATIONS = Table(
    name="entity_associations",
    key=("source_id", "source_type", "destination_type", "destination_id"),
    columns=(
        text("source_id", 36, null=False),
        text("source_type", 36, null=False),
        text("destination_type", 36, null=False),
        text("destination_id", 36, null=False),
        text("association_id", 36, null=False),
        bigint("created_time"),
    ),
    references=(
        soft("source_id", "trace_info", "request_id", where=("source_type", "trace")),
        soft("destination_id", "trace_info", "request_id", where=("destination_type", "trace")),
        soft("source_id", "runs", "run_uuid", where=("source_type", "run")),
        soft("destination_id", "runs", "run_uuid", where=("destination_type", "run")),
        soft("source_id", "logged_models", "model_id", where=("source_type", "model")),
        soft("destination_id", "logged_models", "model_id", where=("destination_type", "model")),
        soft(
            "source_id",
            "evaluation_datasets",
            "dataset_id",
            where=("source_type", "evaluation_dataset"),
        ),
        soft(
            "destination_id",
            "evaluation_datasets",
            "dataset_id",
            where=("destination_type", "evaluation_dataset"),
        ),
    ),
    hidden=(
        HiddenReference("source_id", "experiments", Form.ID, ("source_type", "experiment")),
        HiddenReference(
            "destination_id", "experiments", Form.ID, ("destination_type", "experiment")
        ),
    ),
)
"""Edges between things of any kind: trace → run, evaluation dataset → experiment, and trace →
``prompt_version``, whose id is ``<name>/<version>`` without a workspace."""

TABLES = (
    EVALUATION_DATASETS,
    EVALUATION_DATASET_RECORDS,
    EVALUATION_DATASET_TAGS,
    SCORERS,
    SCORER_VERSIONS,
    ONLINE_SCORING_CONFIGS,
    LABEL_SCHEMAS,
    REVIEW_QUEUES,
    REVIEW_QUEUE_ITEMS,
    REVIEW_QUEUE_LABEL_SCHEMAS,
    REVIEW_QUEUE_USERS,
    ENTITY_ASSOCIATIONS,
)
"""In an order in which parents come before children."""
