"""Writing the skill registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.calls import SKILLS, skill_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["SkillWriter"]

_NOWHERE = "https://mlporter.invalid/skipped.git"
"""The source of versions that are made to skip their numbers. Nobody fetches it."""


class SkillWriter:
    """Writes one skill into a workspace. Whatever makes something is sent once only."""

    def __init__(self, writer: Writer, organization: str, name: str) -> None:
        self._client = writer.client
        self._organization, self._name = organization, name
        self._path = skill_path(organization, name)

    def make(self, body: Json) -> None:
        """Make the skill."""
        whose = {"name": self._name, "organization": self._organization}
        self._client.post(SKILLS, {**whose, **body}, again=False)

    def update(self, changes: Json) -> None:
        """Change description or icons."""
        self._client.patch(self._path, changes)

    def make_version(self, body: Json, expected: int) -> int:
        """Make the next version, whose files are elsewhere; its number."""
        answer = self._client.post(f"{self._path}/versions", body, again=False)
        return int(answer.get("version", expected))

    def upload_version(
        self,
        body: Json,
        size: int,
        open_archive: Callable[[], AbstractContextManager[BinaryIO]],
        expected: int,
    ) -> int:
        """Make the next version of files, which come as a compressed archive; its number."""
        path = f"{self._path}/versions"
        answer = self._client.post_form(path, body, size, open_archive)
        return int(answer.get("version", expected))

    def skip_version(self, expected: int) -> int:
        """Make and delete a version, so that its number is given out; the number."""
        body = {"source": _NOWHERE, "source_type": "git", "status": "draft"}
        number = self.make_version(body, expected)
        self.delete_version(number)
        return number

    def delete_version(self, version: int) -> None:
        """Mark a draft or what is deprecated as deleted."""
        self._client.delete(f"{self._path}/versions/{version}")

    def set_status(self, version: int, status: str) -> None:
        """Change how far a version is."""
        self._client.patch(f"{self._path}/versions/{version}", {"status": status})

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the skill."""
        self._client.post(f"{self._path}/tags", {"key": key, "value": value})

    def set_version_tag(self, version: int, key: str, value: str) -> None:
        """Set a tag of a version."""
        path = f"{self._path}/versions/{quoted_path(version)}/tags"
        self._client.post(path, {"key": key, "value": value})

    def set_alias(self, alias: str, version: int) -> None:
        """Let an alias name a version."""
        self._client.post(f"{self._path}/aliases", {"alias": alias, "version": version})
