"""The MCP registry: servers with their versions, tags and aliases, and where they are reached."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.execute.server.shared.objects import (
    lacking,
    leave_other,
    make_one,
    new_objects,
    source_rows,
    try_one,
)
from mlporter.stores.server.writing.registry import McpWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row

__all__ = ["write_mcp"]

_DRAFT, _ACTIVE, _DEPRECATED, _DELETED = "draft", "active", "deprecated", "deleted"
_SAID = ("server_json", "source", "tools", "connect_options")
"""What a version is, for good."""
_DOCUMENTS = frozenset({"server_json", "tools", "connect_options"})


def write_mcp(context: ServerContext) -> None:
    """Servers, versions, aliases, tags, and access endpoints, in an order in which they go."""
    for table, step in (
        ("mcp_servers", _servers),
        ("mcp_server_versions", _versions),
        ("mcp_server_tags", partial(_set, "mcp_server_tags", _tag)),
        ("mcp_server_version_tags", partial(_set, "mcp_server_version_tags", _version_tag)),
        ("mcp_server_aliases", partial(_set, "mcp_server_aliases", _alias)),
        ("mcp_access_endpoints", _endpoints),
    ):
        if context.is_offered("MCP servers", table):
            step(context)


def _api(context: ServerContext, mapped: Row, name: str) -> McpWriter:
    """What writes a server into the workspace of a row, which is in the server's terms."""
    return McpWriter(context.writer_of(mapped["workspace"] or "default"), name)


def _read(text: str | None) -> Any:  # noqa: ANN401 -- JSON
    return None if text is None else json.loads(text)


def _there(context: ServerContext, table: str, row: Row) -> Row:
    """What the server has under the key of a row."""
    key = context.tables[table].key
    rows = (found for batch in context.there.read(table) for found in batch.to_pylist())
    return next(found for found in rows if all(found[name] == row[name] for name in key))


def _servers(context: ServerContext) -> None:
    for row, mapped, changed in lacking(context, "mcp_servers"):
        if changed and not _is_unfinished(row, _there(context, "mcp_servers", row)):
            leave_other(context, "mcp_servers", row["name"])
            continue
        write = partial(_server, _api(context, mapped, row["name"]), row, new=not changed)
        try_one(context, "mcp_servers", row["name"], write)


def _is_unfinished(row: Row, there: Row) -> bool:
    """Whether the server's lacks something, and has nothing else: made by a killed import."""
    names = ("display_name", "description", "icons")
    return all(not there[name] or there[name] == row[name] for name in names)


def _server(api: McpWriter, row: Row, *, new: bool) -> None:
    said = {"description": row["description"], "icons": _read(row["icons"])}
    if new:
        api.make({"name": row["name"], **said})
    if not new or row["display_name"] is not None:
        api.update({**said, "display_name": row["display_name"]})


def _versions(context: ServerContext) -> None:
    """Versions that are not there, and how far they are of others; deleted ones are not shown."""
    for row, mapped, changed in lacking(context, "mcp_server_versions"):
        name = f"{row['name']}/{row['version']}"
        if row["status"] == _DELETED:
            detail = "it is deleted, and a server does not show deleted ones"
            context.leave("mcp_server_versions", name, "", "hidden", detail, expected=True)
            continue
        there = _there(context, "mcp_server_versions", row) if changed else None
        if there is not None and _said(there) != _said(row):
            leave_other(context, "mcp_server_versions", name)
            continue
        status = there["status"] if there is not None else None
        write = partial(_version, _api(context, mapped, row["name"]), row, status)
        try_one(context, "mcp_server_versions", name, write)


def _said(row: Row) -> list[object]:
    read = {name: _read(row[name]) if name in _DOCUMENTS else row[name] for name in _SAID}
    return [value or None for value in read.values()]


def _version(api: McpWriter, row: Row, status: str | None) -> None:
    """Make a version, if it has no status yet, and bring it as far as it is to be."""
    wanted = row["status"]
    if status is None:
        status = wanted if wanted in (_DRAFT, _ACTIVE) else _ACTIVE
        body = {name: _read(row[name]) for name in _DOCUMENTS if row[name] is not None}
        api.make_version({**body, "source": row["source"], "status": status})
    if {status, wanted} == {_DRAFT, _DEPRECATED}:
        api.set_status(row["version"], _ACTIVE)
    if status != wanted:
        api.set_status(row["version"], wanted)


# --- What hangs on them ---------------------------------------------------------------------------


def _set(table: str, set_one: Callable[[McpWriter, Row], None], context: ServerContext) -> None:
    """Set tags or aliases that the server has not, or has otherwise; not of deleted versions."""
    versions = source_rows(context, "mcp_server_versions")
    gone = {_version_key(row) for row in versions if row["status"] == _DELETED}
    for row, mapped, _ in lacking(context, table):
        if _version_key(row) in gone:
            continue
        write = partial(set_one, _api(context, mapped, row["name"]), row)
        try_one(context, table, row["name"], write, row.get("alias") or row["key"])


def _version_key(row: Row) -> tuple[str | None, ...]:
    return row["workspace"], row["name"], row.get("version")


def _tag(api: McpWriter, row: Row) -> None:
    api.set_tag(row["key"], row["value"] or "")


def _version_tag(api: McpWriter, row: Row) -> None:
    api.set_version_tag(row["version"], row["key"], row["value"] or "")


def _alias(api: McpWriter, row: Row) -> None:
    api.set_alias(row["alias"], row["version"])


def _endpoints(context: ServerContext) -> None:
    table, names = "mcp_access_endpoints", ("server_version", "server_alias", "url")
    for row, mapped in new_objects(context, table, "id", "url"):
        body = {name: mapped[name] for name in (*names, "transport_type") if mapped[name]}
        make = partial(_api(context, mapped, row["server_name"]).make_endpoint, body)
        make_one(context, table, row["id"], make, row["url"])
