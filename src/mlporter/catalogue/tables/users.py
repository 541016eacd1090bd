"""Users and permissions: MLflow's authentication, by names.

MLflow numbers users and roles, and a number says nothing in another database: user 2 is somebody
else there. So these tables have the names in place of the numbers, whatever they are read from,
and are written with the numbers that the names have in the target.
"""

from __future__ import annotations

from mlporter.catalogue.tables.columns import boolean, foreign_key, text
from mlporter.catalogue.types import Kind, Table

__all__ = ["LEGACY_TABLES", "PERSONAL", "RESOURCES", "TABLES"]

USERS = Table(
    name="users",
    kind=Kind.USERS,
    key=("username",),
    columns=(
        text("username", 255, null=False),
        text("password_hash", 255, secret=True),
        boolean("is_admin"),
    ),
)
"""Who may log in."""

ROLES = Table(
    name="roles",
    kind=Kind.USERS,
    key=("workspace", "name"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 265, null=False),
        text("description", 1024),
    ),
)
"""Roles, with those that MLflow makes for what one user may do (`PERSONAL`)."""

ROLE_PERMISSIONS = Table(
    name="role_permissions",
    kind=Kind.USERS,
    key=("workspace", "role", "resource_type", "resource_pattern"),
    columns=(
        text("workspace", 63, null=False),
        text("role", 265, null=False),
        text("resource_type", 64, null=False),
        text("resource_pattern", 255, null=False),
        text("permission", 255, null=False),
    ),
    references=(foreign_key(("workspace", "role"), "roles", ("workspace", "name")),),
)
"""What a role may do, with one thing (an id or a name, see `RESOURCES`) or with all (``*``)."""

USER_ROLE_ASSIGNMENTS = Table(
    name="user_role_assignments",
    kind=Kind.USERS,
    key=("username", "workspace", "role"),
    columns=(
        text("username", 255, null=False),
        text("workspace", 63, null=False),
        text("role", 265, null=False),
    ),
    references=(
        foreign_key(("username",), "users"),
        foreign_key(("workspace", "role"), "roles", ("workspace", "name")),
    ),
)
"""Who has which role."""

TABLES: tuple[Table, ...] = (USERS, ROLES, ROLE_PERMISSIONS, USER_ROLE_ASSIGNMENTS)
"""In an order in which what others refer to comes first."""

PERSONAL = "__user:{}__"
"""How the role is called here that MLflow names ``__user_<number of the user>__``."""

RESOURCES = {
    "experiment": ("experiments", "experiment_id"),
    "registered_model": ("registered_models", "name"),
    "prompt": ("registered_models", "name"),
    "scorer": ("experiments", "experiment_id"),
    "gateway_secret": ("secrets", "secret_id"),
    "gateway_endpoint": ("endpoints", "endpoint_id"),
    "gateway_model_definition": ("model_definitions", "model_definition_id"),
    "mcp_server": ("mcp_servers", "name"),
}
"""By ``resource_type``, the table and column that a ``resource_pattern`` other than ``*`` is from.
Names are those of the role's workspace. A scorer's is ``<experiment id>/<name, percent-encoded>``.
"""

LEGACY_TABLES = {
    "experiment_permissions": ("experiment", "experiment_id"),
    "registered_model_permissions": ("registered_model", "name"),
    "scorer_permissions": ("scorer", "experiment_id"),
    "gateway_secret_permissions": ("gateway_secret", "secret_id"),
    "gateway_endpoint_permissions": ("gateway_endpoint", "endpoint_id"),
    "gateway_model_definition_permissions": ("gateway_model_definition", "model_definition_id"),
    "workspace_permissions": ("workspace", ""),
}
"""Where an older MLflow kept what each user may do: resource type, and the column of the id.
MLflow makes roles of them when it upgrades, leaves them where they are, and reads them no more."""
