"""Datasets, logged models, and the inputs and outputs that tie them to runs."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    bigint,
    double,
    experiment_id,
    foreign_key,
    integer,
    soft,
    text,
)
from mlporter.catalogue.types import Form, HiddenReference, Place, Table

__all__ = ["TABLES"]

DATASETS = Table(
    name="datasets",
    key=("experiment_id", "name", "digest"),
    columns=(
        experiment_id(null=False),
        text("name", 500, null=False),
        text("digest", 36, null=False),
        text("dataset_uuid", 36, null=False),
        text("dataset_source_type", 36, null=False),
        text("dataset_source", null=False),
        text("dataset_schema"),
        text("dataset_profile"),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    hidden=(
        HiddenReference(
            "dataset_source",
            "evaluation_datasets",
            Form.JSON,
            ("dataset_source_type", "mlflow_evaluation_dataset"),
            fields=("dataset_id",),
        ),
    ),
    bulky=True,
)
"""Datasets that were logged as inputs. Source, schema and profile are the client's own text, which
MLflow keeps as it came. ``dataset_uuid`` is unique too, but not declared so."""

LOGGED_MODELS = Table(
    name="logged_models",
    key=("model_id",),
    columns=(
        text("model_id", 36, null=False),
        experiment_id(null=False),
        text("name", 500, null=False),
        text("artifact_location", 1000, null=False),
        bigint("creation_timestamp_ms", null=False),
        bigint("last_updated_timestamp_ms", null=False),
        integer("status", null=False),
        text("lifecycle_stage", 32),
        text("model_type", 500),
        text("source_run_id", 32),
        text("status_message", 1000),
    ),
    parent="experiments",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        soft("source_run_id", "runs", "run_uuid"),
    ),
    places=(Place("artifact_location"),),
)
"""Logged models, deleted ones included."""

LOGGED_MODEL_PARAMS = Table(
    name="logged_model_params",
    key=("model_id", "param_key"),
    columns=(
        text("model_id", 36, null=False),
        text("param_key", 255, null=False),
        experiment_id(null=False),
        text("param_value", null=False),
    ),
    parent="logged_models",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("model_id",), "logged_models"),
    ),
    bulky=True,
)
"""Parameters of logged models."""

LOGGED_MODEL_TAGS = Table(
    name="logged_model_tags",
    key=("model_id", "tag_key"),
    columns=(
        text("model_id", 36, null=False),
        text("tag_key", 255, null=False),
        experiment_id(null=False),
        text("tag_value", null=False),
    ),
    parent="logged_models",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("model_id",), "logged_models"),
    ),
    hidden=(
        HiddenReference(
            "tag_value",
            "registered_models",
            Form.JSON,
            ("tag_key", "mlflow.modelVersions"),
            fields=("name",),
        ),
        HiddenReference(
            "tag_value",
            "registered_models",
            Form.JSON,
            ("tag_key", "mlflow.linkedPrompts"),
            fields=("name",),
        ),
    ),
    bulky=True,
)
"""Tags of logged models."""

LOGGED_MODEL_METRICS = Table(
    name="logged_model_metrics",
    key=("model_id", "run_id", "metric_name", "metric_step", "metric_timestamp_ms"),
    columns=(
        text("model_id", 36, null=False),
        text("run_id", 32, null=False),
        text("metric_name", 500, null=False),
        bigint("metric_step", null=False),
        bigint("metric_timestamp_ms", null=False),
        double("metric_value"),
        experiment_id(null=False),
        text("dataset_uuid", 36),
        text("dataset_name", 500),
        text("dataset_digest", 36),
    ),
    parent="logged_models",
    references=(
        foreign_key(("experiment_id",), "experiments"),
        foreign_key(("model_id",), "logged_models"),
        foreign_key(("run_id",), "runs", ("run_uuid",)),
        soft("dataset_uuid", "datasets"),
    ),
    repeats=True,
)
"""Metrics of logged models: a copy of the run's points that were logged with a model's id."""

INPUTS = Table(
    name="inputs",
    key=("destination_id", "destination_type", "source_type", "source_id"),
    columns=(
        text("destination_id", 36, null=False),
        text("destination_type", 36, null=False),
        text("source_type", 36, null=False),
        text("source_id", 36, null=False),
        text("input_uuid", 36, null=False),
        bigint("step", null=False),
    ),
    parent="runs",
    references=(
        soft("destination_id", "runs", "run_uuid", where=("destination_type", "RUN")),
        soft("source_id", "datasets", "dataset_uuid", where=("source_type", "DATASET")),
        soft("source_id", "runs", "run_uuid", where=("source_type", "RUN_INPUT")),
        soft("source_id", "runs", "run_uuid", where=("source_type", "RUN_OUTPUT")),
        soft(
            "destination_id", "logged_models", "model_id", where=("destination_type", "MODEL_INPUT")
        ),
        soft(
            "destination_id",
            "logged_models",
            "model_id",
            where=("destination_type", "MODEL_OUTPUT"),
        ),
    ),
)
"""What runs read and made, as edges of three kinds, source → destination: DATASET → RUN,
RUN_INPUT → MODEL_INPUT, RUN_OUTPUT → MODEL_OUTPUT. Each edge has a run at one end.
``input_uuid`` is unique too, but not declared so."""

INPUT_TAGS = Table(
    name="input_tags",
    key=("input_uuid", "name"),
    columns=(
        text("input_uuid", 36, null=False),
        text("name", 255, null=False),
        text("value", 500, null=False),
    ),
    parent="inputs",
    references=(soft("input_uuid", "inputs"),),
)
"""Tags of inputs, such as ``mlflow.data.context``. MLflow's models declare a foreign key that no
migration makes."""

TABLES = (
    DATASETS,
    LOGGED_MODELS,
    LOGGED_MODEL_PARAMS,
    LOGGED_MODEL_TAGS,
    LOGGED_MODEL_METRICS,
    INPUTS,
    INPUT_TAGS,
)
"""In an order in which parents come before children."""
