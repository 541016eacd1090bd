"""Workspaces, and what only one running server needs."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import (
    WORKSPACE,
    bigint,
    double,
    foreign_key,
    integer,
    json,
    text,
)
from mlporter.catalogue.types import Kind, Place, Table

__all__ = ["DEFAULT_WORKSPACE", "SERVER_TABLES", "WORKSPACE_TABLES"]

WORKSPACES = Table(
    name="workspaces",
    key=("name",),
    columns=(
        text("name", 63, null=False),
        text("description"),
        text("default_artifact_root"),
        text("trace_archival_location"),
        text("trace_archival_retention", 32),
    ),
    places=(
        Place("default_artifact_root"),
        Place("trace_archival_location"),
    ),
    bulky=True,
)
"""Workspaces. A fresh database already has one, ``default``."""

DEFAULT_WORKSPACE = {"name": "default", "description": "Default workspace for legacy resources"}
"""Where everything is that was there before there were workspaces: as MLflow makes it."""

JOBS = Table(
    name="jobs",
    kind=Kind.TRANSIENT,
    key=("id",),
    columns=(
        text("id", 36, null=False),
        bigint("creation_time", null=False),
        text("job_name", 500, null=False),
        json("params", null=False),
        text("workspace", 63, null=False),
        double("timeout"),
        integer("status", null=False),
        json("result"),
        integer("retry_count", null=False),
        bigint("last_update_time", null=False),
        text("executor_backend", 255),
        bigint("lease_expires_at"),
        text("status_message"),
        json("progress"),
        bigint("progress_updated_at"),
        text("token_hash", 64, secret=True),
        json("scoped_permissions"),
        json("status_details"),
        text("creator", 255),
        bigint("next_attempt_at"),
    ),
    references=(WORKSPACE,),
    bulky=True,
    workspace=True,
)
"""Background jobs. ``token_hash`` is that of the token that a remote job may log in with."""

JOB_LOCKS = Table(
    name="job_locks",
    kind=Kind.TRANSIENT,
    key=("lock_key",),
    columns=(
        text("lock_key", 255, null=False),
        text("job_id", 36, null=False),
        bigint("acquired_at", null=False),
    ),
    parent="jobs",
    references=(foreign_key(("job_id",), "jobs", ("id",)),),
)
"""Locks of jobs that must not run twice."""

SCHEDULER_LEASES = Table(
    name="scheduler_leases",
    kind=Kind.TRANSIENT,
    key=("lease_key",),
    columns=(
        text("lease_key", 255, null=False),
        bigint("acquired_at", null=False),
        integer("ttl_seconds", null=False),
    ),
)
"""Which server runs the scheduler."""

WORKSPACE_TABLES = (WORKSPACES,)
"""Workspaces, which rows of most other tables belong to."""

SERVER_TABLES = (JOBS, JOB_LOCKS, SCHEDULER_LEASES)
"""What one running server needs, and no other."""
