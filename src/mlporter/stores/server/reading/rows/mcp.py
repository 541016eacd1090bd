"""The MCP server registry."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlporter.stores.server.reading.rows import Json, Rows, new_rows
from mlporter.stores.server.reading.unknown_fields import keep_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["mcp_server"]

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
_MADE = ("created_by", "last_updated_by")


def mcp_server(found: Json, versions: Iterable[Json], workspace: str) -> Rows:
    """An MCP server with versions, tags, aliases and the places where it can be reached."""
    rows = new_rows()
    name = found["name"]
    own = {"workspace": workspace, "name": name}
    rows["mcp_servers"].append(
        {
            **own,
            "display_name": found.get("display_name"),
            "description": found.get("description"),
            "icons": _json(_own(found.get("icons"))),
            **_made(found),
        }
    )
    keep_unknown(rows, "mcp_servers", found)
    for key, value in (found.get("tags") or {}).items():
        rows["mcp_server_tags"].append({**own, "key": key, "value": value})
    for alias in found.get("aliases") or ():
        row = {"alias": alias["alias"], "version": alias["version"]}
        rows["mcp_server_aliases"].append(own | row)
    for version in versions:
        _version(rows, version, own)
    for place in found.get("access_endpoints") or ():
        names = ("id", "server_version", "server_alias", "url", "transport_type")
        row = {key: place.get(key) for key in names} | _made(place)
        rows["mcp_access_endpoints"].append(row | {"workspace": workspace, "server_name": name})
    return rows


def _made(found: Json) -> dict[str, Any]:
    times = {
        "created_at": found.get("creation_timestamp"),
        "last_updated_at": found.get("last_updated_timestamp"),
    }
    return {name: found.get(name) for name in _MADE} | times


def _version(rows: Rows, found: Json, own: dict[str, str]) -> None:
    text = found["version"]
    major, minor, patch, key = sort_key(text)
    rows["mcp_server_versions"].append(
        {
            **own,
            "version": text,
            "version_major": major,
            "version_minor": minor,
            "version_patch": patch,
            "version_prerelease_sort_key": key,
            "server_json": json.dumps(found.get("server_json")),
            "status": found.get("status"),
            "tools": _json(_without_nothing(found.get("tools"))),
            "source": found.get("source"),
            "connect_options": _json(found.get("connect_options") or None),
            **_made(found),
        }
    )
    keep_unknown(rows, "mcp_server_versions", found)
    for name, value in (found.get("tags") or {}).items():
        row = {"version": text, "key": name, "value": value}
        rows["mcp_server_version_tags"].append(own | row)


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _own(icons: Iterable[Json] | None) -> list[dict[str, Any]] | None:
    """Icons of a server itself: the API adds those of its last version, and says whose they are."""
    own = [icon for icon in icons or () if icon.get("source") != "version"]
    told = [{name: value for name, value in icon.items() if name != "source"} for icon in own]
    return told or None


def _without_nothing(tools: Iterable[Json] | None) -> list[dict[str, Any]] | None:
    """Tools without the fields that the API fills with null; MLflow stores none of them."""
    if not tools:
        return None  # the API gives [] for nothing
    return [{key: item for key, item in tool.items() if item is not None} for tool in tools]


def sort_key(text: str) -> tuple[int, int, int, str]:
    """Major, minor, patch, and a text by which pre-releases sort.

    As `encode_prerelease_sort_key` in MLflow's `utils/semver_utils.py` (3.17): a release is
    ``2``; of a pre-release each number is ``0``, its length in three digits and itself, each word
    ``1``, its ASCII codes in three digits each, and ``000``.
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        return 0, 0, 0, "2"
    major, minor, patch, before = found.groups()
    parts = [
        f"0{len(part):03d}{part}"
        if part.isdigit()
        else f"1{''.join(f'{ord(char):03d}' for char in part)}000"
        for part in (before.split(".") if before else ())
    ]
    return int(major), int(minor), int(patch), "".join(parts) or "2"
