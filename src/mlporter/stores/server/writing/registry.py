"""Writing registered models and their versions, the MCP registry, and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.calls import API, API3
from mlporter.stores.server.writing.sending import Sender, is_there_already, tag_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlporter.stores.rest.client import Json

__all__ = ["McpWriter", "RegistryWriter", "make_webhook"]

_PATH = f"{API3}/mcp-servers"


class RegistryWriter(Sender):
    """Writes registered models and versions."""

    def create_registered_model(
        self, name: str, description: str | None, tags: Mapping[str, str]
    ) -> None:
        """Make a registered model or a prompt."""
        body = {"name": name, "description": description or "", "tags": tag_list(tags)}
        try:
            self._client.post(f"{API}/registered-models/create", body)
        except ApiError as error:
            if not is_there_already(error):
                raise

    def update_registered_model(self, name: str, description: str) -> None:
        """Change a description."""
        body = {"name": name, "description": description}
        self._client.patch(f"{API}/registered-models/update", body)

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a registered model."""
        body = {"name": name, "key": key, "value": value}
        self._client.post(f"{API}/registered-models/set-tag", body)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        body = {"name": name, "alias": alias, "version": str(version)}
        self._client.post(f"{API}/registered-models/alias", body)

    def create_model_version(self, body: Json, expected: int) -> int:
        """Make the next version; its number.

        Args:
            body: As the API takes it; the last of its tags tells it from others.
            expected: The number that it should get.
        """
        tag = body["tags"][-1]

        def find() -> int | None:
            query = {"name": body["name"], "version": str(expected)}
            try:
                found = self._client.get(f"{API}/model-versions/get", query)["model_version"]
            except ApiError:
                return None
            return expected if tag in found.get("tags", ()) else None

        return self._create(
            f"{API}/model-versions/create",
            body,
            lambda answer: int(answer["model_version"]["version"]),
            find,
        )

    def update_model_version(self, name: str, version: int, description: str) -> None:
        """Change a description."""
        body = {"name": name, "version": str(version), "description": description}
        self._client.patch(f"{API}/model-versions/update", body)

    def set_model_version_tag(self, name: str, version: int, key: str, value: str) -> None:
        """Set a tag of a version."""
        body = {"name": name, "version": str(version), "key": key, "value": value}
        self._client.post(f"{API}/model-versions/set-tag", body)

    def set_stage(self, name: str, version: int, stage: str) -> None:
        """Put a version into a stage; others stay in it."""
        body = {
            "name": name,
            "version": str(version),
            "stage": stage,
            "archive_existing_versions": False,
        }
        self._client.post(f"{API}/model-versions/transition-stage", body)

    def delete_model_version(self, name: str, version: int) -> None:
        """Delete a version; its number is not given out again."""
        body = {"name": name, "version": str(version)}
        try:
            self._client.delete(f"{API}/model-versions/delete", body)
        except ApiError as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def delete_model_version_tag(self, name: str, version: int, key: str) -> None:
        """Delete a tag of a version."""
        body = {"name": name, "version": str(version), "key": key}
        self._client.delete(f"{API}/model-versions/delete-tag", body)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Delete a tag of a registered model."""
        self._client.delete(f"{API}/registered-models/delete-tag", {"name": name, "key": key})

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias."""
        self._client.delete(f"{API}/registered-models/alias", {"name": name, "alias": alias})

    def delete_registered_model(self, name: str) -> None:
        """Delete a registered model with all its versions."""
        self._client.delete(f"{API}/registered-models/delete", {"name": name})


class McpWriter:
    """Writes one MCP server into a workspace. Whatever makes something is sent once only."""

    def __init__(self, writer: Sender, name: str) -> None:
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


def make_webhook(writer: Sender, body: Json, events: Iterable[tuple[str, str]]) -> str:
    """Make a webhook that listens to some events (entity and action); its id."""
    told = [{"entity": entity.upper(), "action": action.upper()} for entity, action in events]
    answer = writer.client.post(f"{API}/webhooks", {**body, "events": told}, again=False)
    return str(answer.get("webhook", {}).get("webhook_id", ""))
