"""Registered models, prompts and their versions: which are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.selection.not_found import Missing, is_named, nearest
from mlporter.selection.row_keys import Key, joined
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.selection.criteria import Selection
    from mlporter.selection.dependencies import Reach
    from mlporter.selection.links import Shape
    from mlporter.stores.protocols import Source

__all__ = ["Models"]

_PROMPT = "mlflow.prompt.is_prompt"
_DEFAULT = "default"
_SHOWN = 12


@dataclass(frozen=True)
class _Version:
    """A version of a chosen model. `spoken` is whether MLflow would show it."""

    model: Key
    key: Key
    number: int
    stage: str

    @property
    def spoken(self) -> bool:
        return self.stage != DELETED_STAGE


class Models:
    """Chooses registered models and prompts, and versions of them."""

    def __init__(self, source: Source, shape: Shape, criteria: Selection, reach: Reach) -> None:
        self._source = source
        self._criteria = criteria
        self._reach = reach
        self._whole = "workspace" in shape.tables["registered_models"].by_name

    def named(self, missing: Missing, notes: list[str]) -> None:
        """Choose the models and versions that are named."""
        names: set[str] = set()
        chosen: set[Key] = set()
        matched: set[str] = set()
        for key, name in self._models():
            names.add(name)
            patterns = {p for p in self._criteria.models if is_named(name, p)}
            matched |= patterns
            if patterns:
                chosen.add(key)
        for pattern in self._criteria.models:
            if pattern not in matched:
                near = nearest(pattern, names)
                missing.say(f"registered model {pattern!r}", near, there=names)
        if self._criteria.versions:
            self._by_version(chosen, missing, notes)
        else:
            self._reach.add("registered_models", chosen)
            self._reach.add("model_versions", self._all_versions(chosen))

    def every(self) -> None:
        """Choose all models, or all prompts, or both, of the workspaces asked for."""
        kinds = set(self._criteria.only) or {"models", "prompts"}
        if not kinds & {"models", "prompts"}:
            return
        if self._criteria.workspaces or not kinds >= {"models", "prompts"}:
            chosen = {key for key, _ in self._models()}
            self._reach.add("registered_models", chosen)
            self._reach.add("model_versions", self._all_versions(chosen))
            return
        self._reach.add_everything("registered_models")
        if self._criteria.exclude_deleted and self._has_deleted():
            self._reach.add("model_versions", self._all_versions(None))
        else:
            self._reach.add_everything("model_versions")

    def _key(self, workspace: str, *rest: object) -> Key:
        return joined((workspace, *rest) if self._whole else rest)

    def _models(self) -> Iterator[tuple[Key, str]]:
        """Models and prompts of the kinds and workspaces asked for: key and name."""
        kinds = self._criteria.only
        prompts = set(self._prompts()) if kinds else set()
        for workspace, name in rows_of(self._source, "registered_models", ("workspace", "name")):
            key = self._key(workspace, name)
            kind = "prompts" if key in prompts else "models"
            is_here = (
                not self._criteria.workspaces
                or (workspace or _DEFAULT) in self._criteria.workspaces
            )
            if is_here and (not kinds or kind in kinds):
                yield key, name

    def _prompts(self) -> Iterator[Key]:
        columns = ("workspace", "name", "key", "value")
        for workspace, name, tag, value in rows_of(self._source, "registered_model_tags", columns):
            if tag == _PROMPT and str(value).lower() == "true":
                yield self._key(workspace, name)

    def _versions(self, models: set[Key] | None) -> Iterator[_Version]:
        columns = ("workspace", "name", "version", "current_stage")
        for workspace, name, number, stage in rows_of(self._source, "model_versions", columns):
            model = self._key(workspace, name)
            if models is None or model in models:
                key = self._key(workspace, name, number)
                yield _Version(model, key, number, stage or "None")

    def _all_versions(self, models: set[Key] | None) -> set[Key]:
        """All versions of some models; of deleted ones the numbers are not given out again."""
        wanted = self._versions(models)
        return {v.key for v in wanted if v.spoken or not self._criteria.exclude_deleted}

    def _has_deleted(self) -> bool:
        return any(not version.spoken for version in self._versions(None))

    def _by_version(self, models: set[Key], missing: Missing, notes: list[str]) -> None:
        """Choose versions, and the models that have any of them."""
        versions = [v for v in self._versions(models) if v.spoken]
        aliases = set(self._aliases(models))
        chosen: set[_Version] = set()
        for wanted in self._criteria.versions:
            found = _matching(wanted, versions, aliases)
            chosen |= found
            if not found and models:
                named = ", ".join(self._criteria.models)
                missing.say(f"version {wanted!r} of {named}", there=_there(versions, aliases))
        having = {version.model for version in chosen}
        self._reach.add("registered_models", having)
        self._reach.add("model_versions", {version.key for version in chosen})
        if lacking := sorted(_name(key) for key in models - having):
            asked = ", ".join(self._criteria.versions)
            notes.append(f"No version {asked}, so left out: {_some(lacking)}.")

    def _aliases(self, models: set[Key]) -> Iterator[tuple[str, Key]]:
        """Aliases, with the keys of the versions that they name."""
        columns = ("workspace", "name", "alias", "version")
        for workspace, name, alias, number in rows_of(
            self._source, "registered_model_aliases", columns
        ):
            model = self._key(workspace, name)
            if model in models:
                yield alias, self._key(workspace, name, number)


def _matching(
    wanted: str, versions: list[_Version], aliases: Iterable[tuple[str, Key]]
) -> set[_Version]:
    """The versions that a number, ``latest``, an ``@alias`` or a stage names."""
    if wanted.startswith("@"):
        keys = {key for alias, key in aliases if alias == wanted[1:]}
        return {version for version in versions if version.key in keys}
    if wanted.isdecimal():
        return {version for version in versions if version.number == int(wanted)}
    if wanted.lower() == "latest":
        newest: dict[Key, _Version] = {}
        for version in versions:
            last = newest.setdefault(version.model, version)
            newest[version.model] = max(last, version, key=lambda v: v.number)
        return set(newest.values())
    return {version for version in versions if version.stage.lower() == wanted.lower()}


def _there(versions: list[_Version], aliases: Iterable[tuple[str, Key]]) -> set[str]:
    """What versions may be called."""
    stages = {version.stage for version in versions} - {"None"}
    numbers = {str(version.number) for version in versions}
    return stages | {f"@{alias}" for alias, _ in aliases} | numbers


def _name(key: Key) -> str:
    return str(key).split("\x00")[-1]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
