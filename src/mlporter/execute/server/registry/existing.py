"""What a server has of the registered models that are copied, and what of it is in the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import source_tags
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.side_reader import Reader

__all__ = ["Groups", "Key", "Registered", "RegisteredVersion", "conflicts_of", "dicts_of"]
__all__ += ["read_registered"]

Key = tuple[str, str]
"""Workspace and name."""
_KEY = ("workspace", "name")
_SAID = ("run_id", "source", "description", "run_link")
"""What is said of a version, besides stage and tags, and what a server shows of it."""


@dataclass
class RegisteredVersion:
    """A version that the server has."""

    row: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)

    def is_copy_of(self, row: dict[str, Any], tags: Mapping[str, str]) -> bool:
        """Whether it is a copy of a version, or the version itself.

        One without our mark is somebody's own, unless all that is said of it is the same: prompts
        share a placeholder as their source and have their text in a tag, so that tags count, too.
        """
        if self.tags.get(source_tags.VERSION) == f"{row['name']}/{row['version']}":
            return True
        if source_tags.VERSION in self.tags or source_tags.PLACEHOLDER in self.tags:
            return False
        same = all((row[name] or None) == (self.row[name] or None) for name in _SAID)
        stages = (row["current_stage"] or "None", self.row["current_stage"] or "None")
        return same and stages[0] == stages[1] and _without_marks(tags) == _without_marks(self.tags)


@dataclass
class Registered:
    """A registered model that the server has."""

    description: str
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, RegisteredVersion] = field(default_factory=dict)

    def is_ours(self) -> bool:
        """Whether an import made it."""
        return source_tags.REGISTERED_MODEL in self.tags


def read_registered(server: Reader, wanted: set[Key]) -> dict[Key, Registered]:
    """Everything that a server has under some names."""
    found: dict[Key, Registered] = {}
    columns: tuple[str, ...] = (*_KEY, "description")
    for workspace, name, text in rows_of(server, "registered_models", columns):
        if (workspace, name) in wanted:
            found[workspace, name] = Registered(text or "")
    columns = (*_KEY, "key", "value")
    for workspace, name, key, value in rows_of(server, "registered_model_tags", columns):
        if (workspace, name) in found:
            found[workspace, name].tags[key] = value or ""
    columns = (*_KEY, "alias", "version")
    for workspace, name, alias, version in rows_of(server, "registered_model_aliases", columns):
        if (workspace, name) in found:
            found[workspace, name].aliases[alias] = version
    _read_versions(server, found)
    return found


def _read_versions(server: Reader, found: dict[Key, Registered]) -> None:
    for row in dicts_of(server, "model_versions"):
        there = found.get((row["workspace"], row["name"]))
        if there is not None:
            there.versions[row["version"]] = RegisteredVersion(row)
    for row in dicts_of(server, "model_version_tags"):
        there = found.get((row["workspace"], row["name"]))
        if there is not None and row["version"] in there.versions:
            there.versions[row["version"]].tags[row["key"]] = row["value"] or ""


def conflicts_of(
    source: Reader,
    there: dict[Key, Registered],
    mine: dict[Key, str],
    target: Callable[[Key], Key],
) -> dict[Key, str]:
    """Models of the source that cannot be put into what a server has, and why.

    Args:
        source: What is copied.
        there: What the server has.
        mine: Descriptions, by the source's workspace and name.
        target: The server's workspace and name of one of the source.
    """
    found: dict[Key, str] = {}
    for key, text in mine.items():
        model = there.get(target(key))
        if model is not None and not model.is_ours() and text and text != model.description:
            found[key] = "its description is different on the server"
    found |= _other_tags(source, there, target)
    tags = _tags_of_versions(source, there, target)
    for row in dicts_of(source, "model_versions"):
        key = (row["workspace"], row["name"])
        model = there.get(target(key))
        if model is None or row["current_stage"] == DELETED_STAGE:
            continue
        version = model.versions.get(row["version"])
        said = tags.get((*key, row["version"]), {})
        if version is not None and not version.is_copy_of(row, said):
            found[key] = f"the server has a different version {row['version']}"
        elif version is None and row["version"] <= max(model.versions, default=0):
            found[key] = f"the server has used number {row['version']} before"
    columns = (*_KEY, "alias", "version")
    for workspace, name, alias, number in rows_of(source, "registered_model_aliases", columns):
        model = there.get(target((workspace, name)))
        is_other = model is not None and model.aliases.get(alias, number) != number
        if model is not None and is_other and not model.is_ours():
            found[workspace, name] = (
                f"its alias {alias!r} points to a different version on the server"
            )
    return found


def _other_tags(
    source: Reader, there: dict[Key, Registered], target: Callable[[Key], Key]
) -> dict[Key, str]:
    """Models that somebody else made on the server, with another value of one of our tags."""
    found: dict[Key, str] = {}
    columns = (*_KEY, "key", "value")
    for workspace, name, tag, value in rows_of(source, "registered_model_tags", columns):
        model = there.get(target((workspace, name)))
        is_other = model is not None and model.tags.get(tag, value or "") != (value or "")
        if model is not None and is_other and not model.is_ours():
            found[workspace, name] = f"its tag is different on the server: {tag!r}"
    return found


def _tags_of_versions(
    source: Reader, there: dict[Key, Registered], target: Callable[[Key], Key]
) -> dict[tuple[str, str, int], dict[str, str]]:
    """Tags of the source's versions whose number the server has given to a version, too."""
    found: dict[tuple[str, str, int], dict[str, str]] = {}
    columns = (*_KEY, "version", "key", "value")
    for workspace, name, version, tag, value in rows_of(source, "model_version_tags", columns):
        model = there.get(target((workspace, name)))
        if model is not None and version in model.versions:
            found.setdefault((workspace, name, version), {})[tag] = value or ""
    return found


def _without_marks(tags: Mapping[str, str]) -> dict[str, str]:
    return {tag: value for tag, value in tags.items() if not tag.startswith(source_tags.OURS)}


def dicts_of(reader: Reader, table: str) -> Iterator[dict[str, Any]]:
    """Rows of a table."""
    for batch in reader.read(table):
        yield from batch.to_pylist()


class Groups:
    """Rows below each registered model, asked for in the order of names; by the server's ids."""

    def __init__(self, context: ServerContext, table: str) -> None:
        batches = context.source.read(table) if table in context.tables else iter(())
        self._rows = (
            (original, mapped)
            for batch in batches
            for original, mapped in zip(
                batch.to_pylist(), context.mapped(table, batch).to_pylist(), strict=True
            )
        )
        self._next = next(self._rows, None)

    def __call__(self, key: Key) -> list[dict[str, Any]]:
        """The rows below a model."""
        found = []
        while self._next is not None and _key(self._next[0]) <= _sortable(key):
            if _key(self._next[0]) == _sortable(key):
                found.append(self._next[1])
            self._next = next(self._rows, None)
        return found


def _key(row: dict[str, Any]) -> tuple[bytes, bytes]:
    return _sortable((row["workspace"], row["name"]))


def _sortable(key: Key) -> tuple[bytes, bytes]:
    return key[0].encode(), key[1].encode()
