"""What MLflow stores, as data: its 70 tables at the newest known revision.

Tables are in an order in which a row's parents, and whatever else it refers to, come before it.
Importing this needs pyarrow and nothing else; no MLflow.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.catalogue.revisions import (
    HEAD_REVISION,
    OLDEST_SHAPE,
    RETIRED_COLUMNS,
    REVISIONS,
    comes_before,
    described,
    is_newer,
    is_newer_release,
    is_older,
    minor_of,
    release_of,
)
from mlporter.catalogue.tables import (
    evaluation,
    gateway,
    mcp,
    models,
    registry,
    skills,
    system,
    traces,
    tracking,
    users,
)
from mlporter.catalogue.types import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.catalogue.types import Table

__all__ = [
    "AUTH_TABLES",
    "BOOKKEEPING_TABLES",
    "BY_NAME",
    "HEAD_REVISION",
    "OLDEST_SHAPE",
    "RETIRED_COLUMNS",
    "REVISIONS",
    "TABLES",
    "USER_TABLES",
    "comes_before",
    "described",
    "is_newer",
    "is_newer_release",
    "is_older",
    "known_table",
    "minor_of",
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
    *skills.TABLES,
    *system.SERVER_TABLES,
)
"""Every table of MLflow at `HEAD_REVISION`, each after all the tables that it refers to."""

BY_NAME: Mapping[str, Table] = MappingProxyType({table.name: table for table in TABLES})
"""The same, by MLflow's name."""

USER_TABLES: tuple[Table, ...] = users.TABLES
"""Users and permissions, by names. They are in the same database as the rest, in one of their own
(``basic_auth.db``), or nowhere; a server does not show them."""

AUTH_TABLES: frozenset[str] = frozenset({t.name for t in USER_TABLES} | set(users.LEGACY_TABLES))
"""MLflow's own names of the tables that `USER_TABLES` are read from."""

BOOKKEEPING_TABLES: frozenset[str] = frozenset({"alembic_version", "alembic_version_auth"})
"""Tables that hold the revision of a schema, and nothing of the registry."""

_USERS_BY_NAME = {table.name: table for table in USER_TABLES}


def known_table(name: str, kind: str) -> Table | None:
    """The catalogue's table of a name and kind; None if it is none of MLflow's.

    Many a program has a table ``users``: it is MLflow's only where it was read as such.
    """
    return _USERS_BY_NAME.get(name) if kind == Kind.USERS.value else BY_NAME.get(name)


def table(name: str) -> Table:
    """The table that MLflow calls `name`.

    Raises:
        KeyError: MLflow has no such table at `HEAD_REVISION`.
    """
    return BY_NAME[name]
