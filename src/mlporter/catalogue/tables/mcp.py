"""The MCP server registry."""

from __future__ import annotations

from mlporter.catalogue.tables.columns import WORKSPACE, bigint, foreign_key, integer, json, text
from mlporter.catalogue.types import Reference, Table

__all__ = ["TABLES"]

MCP_SERVERS = Table(
    name="mcp_servers",
    key=("workspace", "name"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("display_name", 256),
        text("description"),
        json("icons"),
        text("created_by", 256),
        text("last_updated_by", 256),
        bigint("created_at", null=False),
        bigint("last_updated_at", null=False),
    ),
    references=(WORKSPACE,),
    bulky=True,
    workspace=True,
)
"""MCP servers."""

MCP_SERVER_VERSIONS = Table(
    name="mcp_server_versions",
    key=("workspace", "name", "version"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("version", 128, null=False),
        integer("version_major", null=False),
        integer("version_minor", null=False),
        integer("version_patch", null=False),
        text("version_prerelease_sort_key", 512, null=False),
        json("server_json", null=False),
        text("status", 20, null=False),
        json("tools"),
        text("source", 512),
        json("connect_options"),
        text("created_by", 256),
        text("last_updated_by", 256),
        bigint("created_at", null=False),
        bigint("last_updated_at", null=False),
    ),
    parent="mcp_servers",
    references=(foreign_key(("workspace", "name"), "mcp_servers"),),
    bulky=True,
    workspace=True,
)
"""Versions of MCP servers. ``connect_options`` only says which ways to connect are hidden in the UI
(``{"<key>": {"hidden": true}}``): no credentials. ``server_json`` is whatever was published."""

MCP_SERVER_TAGS = Table(
    name="mcp_server_tags",
    key=("workspace", "name", "key"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("key", 250, null=False),
        text("value", 5000),
    ),
    parent="mcp_servers",
    references=(foreign_key(("workspace", "name"), "mcp_servers"),),
    bulky=True,
    workspace=True,
)
"""Tags of MCP servers."""

MCP_SERVER_VERSION_TAGS = Table(
    name="mcp_server_version_tags",
    key=("workspace", "name", "version", "key"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("version", 128, null=False),
        text("key", 250, null=False),
        text("value", 5000),
    ),
    parent="mcp_server_versions",
    references=(foreign_key(("workspace", "name", "version"), "mcp_server_versions"),),
    bulky=True,
    workspace=True,
)
"""Tags of versions of MCP servers."""

MCP_SERVER_ALIASES = Table(
    name="mcp_server_aliases",
    key=("workspace", "name", "alias"),
    columns=(
        text("workspace", 63, null=False),
        text("name", 256, null=False),
        text("alias", 256, null=False),
        text("version", 128, null=False),
    ),
    parent="mcp_servers",
    references=(
        foreign_key(("workspace", "name"), "mcp_servers"),
        Reference(
            ("workspace", "name", "version"),
            "mcp_server_versions",
            ("workspace", "name", "version"),
            enforced=False,
        ),
    ),
    workspace=True,
)
"""Aliases; MLflow deletes them with the version that they name."""

MCP_ACCESS_ENDPOINTS = Table(
    name="mcp_access_endpoints",
    key=("id",),
    columns=(
        text("id", 36, null=False),
        text("workspace", 63, null=False),
        text("server_name", 256, null=False),
        text("server_version", 128),
        text("server_alias", 256),
        text("url", 2048, null=False),
        text("transport_type", 32, null=False),
        text("created_by", 256),
        text("last_updated_by", 256),
        bigint("created_at", null=False),
        bigint("last_updated_at", null=False),
    ),
    parent="mcp_servers",
    references=(
        foreign_key(("workspace", "server_name"), "mcp_servers", ("workspace", "name")),
        Reference(
            ("workspace", "server_name", "server_version"),
            "mcp_server_versions",
            ("workspace", "name", "version"),
            enforced=False,
        ),
        Reference(
            ("workspace", "server_name", "server_alias"),
            "mcp_server_aliases",
            ("workspace", "name", "alias"),
            enforced=False,
            may_dangle=True,  # the alias `latest` has no row
        ),
    ),
    workspace=True,
)
"""Where an MCP server can be reached, for a version, an alias, or as a whole. ``id`` is the key."""

TABLES = (
    MCP_SERVERS,
    MCP_SERVER_VERSIONS,
    MCP_SERVER_TAGS,
    MCP_SERVER_VERSION_TAGS,
    MCP_SERVER_ALIASES,
    MCP_ACCESS_ENDPOINTS,
)
"""In an order in which parents come before children."""
