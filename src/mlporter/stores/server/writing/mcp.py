"""Writing the MCP registry and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.calls import API, API3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["McpWriter", "make_webhook"]

_PATH = f"{API3}/mcp-servers"


class McpWriter:
    """Writes one MCP server into a workspace. Whatever makes something is sent once only."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._client = writer.client
        self._path = f"{_PATH}/{quoted_path(name)}"

    def make(self, body: Json) -> None:
        """Make the server."""
        self._client.post(_PATH, body, again=False)

    def update(self, changes: Json) -> None:
        """Change display_name, description or icons."""
        self._client.patch(self._path, changes)

    def make_version(self, body: Json) -> None:
        """Make a version, which is a draft or active."""
        self._client.post(f"{self._path}/versions", body, again=False)

    def set_status(self, version: str, status: str) -> None:
        """Change how far a version is."""
        path = f"{self._path}/versions/{quoted_path(version)}"
        self._client.patch(path, {"status": status})

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the server."""
        self._client.post(f"{self._path}/tags", {"key": key, "value": value})

    def set_version_tag(self, version: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        path = f"{self._path}/versions/{quoted_path(version)}/tags"
        self._client.post(path, {"key": key, "value": value})

    def set_alias(self, alias: str, version: str) -> None:
        """Let an alias name a version."""
        self._client.post(f"{self._path}/aliases", {"alias": alias, "version": version})

    def make_endpoint(self, body: Json) -> str:
        """Say where the server can be reached; the id of that."""
        answer = self._client.post(f"{self._path}/endpoints", body, again=False)
        return str(answer.get("id", ""))


def make_webhook(writer: Writer, body: Json, events: Iterable[tuple[str, str]]) -> str:
    """Make a webhook that listens to some events (entity and action); its id."""
    told = [{"entity": entity.upper(), "action": action.upper()} for entity, action in events]
    answer = writer.client.post(f"{API}/webhooks", {**body, "events": told}, again=False)
    return str(answer.get("webhook", {}).get("webhook_id", ""))
