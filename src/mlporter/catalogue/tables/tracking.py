"""Experiments and runs."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    WORKSPACE,
    bigint,
    boolean,
    double,
    experiment_id,
    foreign_key,
    text,
)
from mlporter.catalogue.types import Form, HiddenReference, Kind, Place, Table

__all__ = ["TABLES"]

EXPERIMENTS = Table(
    name="experiments",
    key=("experiment_id",),
    columns=(
        experiment_id(null=False),
        text("name", 256, null=False),
        text("workspace", 63, null=False),
        text("artifact_location", 256),
        text("lifecycle_stage", 32),
        bigint("creation_time"),
        bigint("last_update_time"),
    ),
    references=(WORKSPACE,),
    places=(Place("artifact_location"),),
    unique=(("workspace", "name"),),
    workspace=True,
)
"""Experiments, deleted ones included. The only key that a server counts up itself."""

EXPERIMENT_TAGS = Table(
    name="experiment_tags",
    key=("experiment_id", "key"),
    columns=(
        experiment_id(null=False),
        text("key", 250, null=False),
        text("value"),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    hidden=(
        HiddenReference("value", "endpoints", Form.ID, ("key", "mlflow.experiment.sourceId")),
        HiddenReference(
            "value",
            "trace_info",
            Form.JSON,
            ("key", "mlflow.latestOnlineScoring.trace.checkpoint"),
            fields=("trace_id",),
        ),
    ),
    bulky=True,
)
"""Tags of experiments. ``mlflow.experiment.sourceId`` is an endpoint's id where the gateway made
the experiment, and a notebook's where Databricks did."""

RUNS = Table(
    name="runs",
    key=("run_uuid",),
    columns=(
        text("run_uuid", 32, null=False),
        text("name", 250),
        text("source_type", 20),
        text("source_name", 500),
        text("entry_point_name", 50),
        text("user_id", 256),
        # MLflow declares 20, but no migration ever widened it.
        text("status", 9),
        bigint("start_time"),
        bigint("end_time"),
        bigint("deleted_time"),
        text("source_version", 50),
        text("lifecycle_stage", 20),
        text("artifact_uri", 200),
        experiment_id(),
    ),
    parent="experiments",
    references=(foreign_key(("experiment_id",), "experiments"),),
    places=(Place("artifact_uri"),),
)
"""Runs, deleted ones included. Their ``name`` is repeated in the tag ``mlflow.runName``."""

PARAMS = Table(
    name="params",
    key=("run_uuid", "key"),
    columns=(
        text("run_uuid", 32, null=False),
        text("key", 250, null=False),
        text("value", 8000, null=False),
    ),
    parent="runs",
    references=(foreign_key(("run_uuid",), "runs"),),
    bulky=True,
)
"""Parameters of runs."""

TAGS = Table(
    name="tags",
    key=("run_uuid", "key"),
    columns=(
        text("run_uuid", 32, null=False),
        text("key", 250, null=False),
        text("value", 8000),
    ),
    parent="runs",
    references=(foreign_key(("run_uuid",), "runs"),),
    hidden=(
        HiddenReference("value", "runs", Form.ID, ("key", "mlflow.parentRunId")),
        HiddenReference("value", "runs", Form.ID, ("key", "mlflow.rootRunId")),
        HiddenReference(
            "value", "runs", Form.JSON, ("key", "mlflow.log-model.history"), fields=("run_id",)
        ),
        HiddenReference(
            "value",
            "logged_models",
            Form.JSON,
            ("key", "mlflow.log-model.history"),
            fields=("model_id",),
        ),
        HiddenReference(
            "value",
            "registered_models",
            Form.JSON,
            ("key", "mlflow.linkedPrompts"),
            fields=("name",),
        ),
    ),
    bulky=True,
)
"""Tags of runs. MLflow itself writes no ``mlflow.rootRunId``; Databricks does."""

METRICS = Table(
    name="metrics",
    key=("run_uuid", "key", "step", "timestamp", "value", "is_nan"),
    columns=(
        text("run_uuid", 32, null=False),
        text("key", 250, null=False),
        bigint("step", null=False),
        bigint("timestamp", null=False),
        double("value", null=False),
        boolean("is_nan", null=False),
    ),
    parent="runs",
    references=(foreign_key(("run_uuid",), "runs"),),
    repeats=True,
)
"""The whole history of every metric. Where ``is_nan`` is true, ``value`` is 0."""

LATEST_METRICS = Table(
    name="latest_metrics",
    kind=Kind.DERIVED,
    key=("run_uuid", "key"),
    columns=(
        text("run_uuid", 32, null=False),
        text("key", 250, null=False),
        double("value", null=False),
        bigint("timestamp"),
        bigint("step", null=False),
        boolean("is_nan", null=False),
    ),
    parent="runs",
    references=(foreign_key(("run_uuid",), "runs"),),
)
"""The last point of every metric: the row of `metrics` with the greatest step, then timestamp,
then value."""

TABLES = (
    EXPERIMENTS,
    EXPERIMENT_TAGS,
    RUNS,
    PARAMS,
    TAGS,
    METRICS,
    LATEST_METRICS,
)
"""In an order in which parents come before children."""
