"""What MLflow stores, as data: its 64 tables at the newest known revision.

Tables are in an order in which a row's parents, and whatever else it refers to, come before it.
Importing this needs pyarrow and nothing else; no MLflow.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.catalogue import (
    evaluation,
    gateway,
    mcp,
    models,
    registry,
    system,
    traces,
    tracking,
)
from mlporter.catalogue.revisions import (
    HEAD_REVISION,
    RETIRED_COLUMNS,
    REVISIONS,
    is_older,
    release_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.catalogue.types import Table

__all__ = [
    "AUTH_TABLES",
    "BOOKKEEPING_TABLES",
    "BY_NAME",
    "HEAD_REVISION",
    "RETIRED_COLUMNS",
    "REVISIONS",
    "TABLES",
    "is_older",
    "release_of",
    "table",
]

TABLES: tuple[Table, ...] = (
    *system.WORKSPACE_TABLES,
    *tracking.TABLES,
    *models.TABLES,
    *registry.TABLES,
    *traces.TABLES,
    *evaluation.TABLES,
    *gateway.TABLES,
    *mcp.TABLES,
    *system.SERVER_TABLES,
)
"""Every table of MLflow at `HEAD_REVISION`, each after all the tables that it refers to."""

BY_NAME: Mapping[str, Table] = MappingProxyType({table.name: table for table in TABLES})
"""The same, by MLflow's name."""

AUTH_TABLES: frozenset[str] = frozenset(
    {
        "experiment_permissions",
        "gateway_endpoint_permissions",
        "gateway_model_definition_permissions",
        "gateway_secret_permissions",
        "registered_model_permissions",
        "role_permissions",
        "roles",
        "scorer_permissions",
        "user_role_assignments",
        "users",
        "workspace_permissions",
    }
)
"""Tables of MLflow's authentication, which may share a database with the rest. They hold password
hashes and say who may do what on one server: always left out."""

BOOKKEEPING_TABLES: frozenset[str] = frozenset({"alembic_version", "alembic_version_auth"})
"""Tables that hold the revision of a schema, and nothing of the registry."""


def table(name: str) -> Table:
    """The table that MLflow calls `name`.

    Raises:
        KeyError: MLflow has no such table at `HEAD_REVISION`.
    """
    return BY_NAME[name]
