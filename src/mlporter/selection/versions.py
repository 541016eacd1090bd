"""Choosing versions of a registered model as people name them: number, latest, @alias, stage."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.errors import UsageError
from mlporter.stores.rows.version_locations import TableReader, rows_of

if TYPE_CHECKING:
    from mlporter.artifacts.uris.ownership import VersionKey

__all__ = ["STAGES", "VersionChoice", "aliases_of", "choose_versions", "matching_versions"]
__all__ += ["stages_of"]

STAGES = ("None", "Staging", "Production", "Archived")


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """A model, and which of its versions.

    `version` is None for all, else ``2``, ``latest``, ``@champion`` or ``Production``.
    """

    model: str
    version: str | None = None


def choose_versions(source: TableReader, choice: VersionChoice) -> list[VersionKey]:
    """The versions that a choice names, in every workspace that has the model.

    Raises:
        UsageError: there is no such model or version; the hint names what there is.
    """
    names = {name for _, name in rows_of(source, "registered_models", ("workspace", "name"))}
    if choice.model not in names:
        near = get_close_matches(choice.model, names, n=3, cutoff=0.4) or sorted(names)[:5]
        raise UsageError(
            f"there is no registered model {choice.model!r}",
            hint=f"there is {', '.join(near)}" if near else "there are no registered models",
        )
    stages, aliases = stages_of(source, choice.model), aliases_of(source, choice.model)
    chosen = matching_versions(choice.version or "", stages, aliases)
    if not chosen and choice.version is not None:
        known = ", ".join(str(key[2]) for key in stages) or "none"
        raise UsageError(
            f"registered model {choice.model!r} has no version {choice.version!r}",
            hint=f"its versions: {known}; or use latest, @alias or a stage",
        )
    return chosen


def stages_of(source: TableReader, model: str) -> dict[VersionKey, str]:
    """The stages of the versions of a model that are not deleted, in every workspace."""
    columns = ("workspace", "name", "version", "current_stage")
    return {
        (workspace or "default", name, number): stage or "None"
        for workspace, name, number, stage in rows_of(source, "model_versions", columns)
        if name == model and stage != DELETED_STAGE
    }


def aliases_of(source: TableReader, model: str) -> list[tuple[str, VersionKey]]:
    """The aliases of a model, and the versions that they name."""
    columns = ("workspace", "name", "alias", "version")
    return [
        (alias, (workspace or "default", name, number))
        for workspace, name, alias, number in rows_of(source, "registered_model_aliases", columns)
        if name == model
    ]


def matching_versions(
    wanted: str, stages: dict[VersionKey, str], aliases: list[tuple[str, VersionKey]]
) -> list[VersionKey]:
    """The versions of a model that a number, ``latest``, an ``@alias`` or a stage names.

    Args:
        wanted: The name; "" for all versions.
        stages: The model's versions, and their stages.
        aliases: Its aliases, and the versions that they name.
    """
    if not wanted:
        return list(stages)
    if wanted.startswith("@"):
        named = {key for alias, key in aliases if alias == wanted[1:]}
        return [key for key in stages if key in named]
    if wanted.isdecimal():
        return [key for key in stages if key[2] == int(wanted)]
    if wanted.lower() == "latest":
        newest: dict[str, VersionKey] = {}
        for key in stages:
            newest[key[0]] = max(newest.get(key[0], key), key)
        return list(newest.values())
    return [key for key, stage in stages.items() if stage.lower() == wanted.lower()]
