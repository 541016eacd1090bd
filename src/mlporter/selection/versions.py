"""Choosing versions of a registered model as people name them: number, latest, @alias, stage."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlporter.errors import UsageError
from mlporter.stores.rows.version_locations import TableReader, rows_of

if TYPE_CHECKING:
    from mlporter.artifacts.uris.ownership import VersionKey

__all__ = ["VersionChoice", "choose_versions"]

STAGES = ("None", "Staging", "Production", "Archived")
_DELETED = "Deleted_Internal"


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
    columns = ("workspace", "name", "version", "current_stage")
    versions = [
        ((workspace or "default", name, number), stage)
        for workspace, name, number, stage in rows_of(source, "model_versions", columns)
        if name == choice.model and stage != _DELETED
    ]
    chosen = _matching(source, versions, choice)
    if not chosen and choice.version is not None:
        known = ", ".join(str(key[2]) for key, _ in versions) or "none"
        raise UsageError(
            f"registered model {choice.model!r} has no version {choice.version!r}",
            hint=f"its versions: {known}; or use latest, @alias or a stage",
        )
    return chosen


def _matching(
    source: TableReader, versions: list[tuple[VersionKey, str]], choice: VersionChoice
) -> list[VersionKey]:
    wanted = choice.version
    if wanted is None:
        return [key for key, _ in versions]
    if wanted.startswith("@"):
        columns = ("workspace", "name", "alias", "version")
        aliased = {
            (workspace or "default", name, number)
            for workspace, name, alias, number in rows_of(
                source, "registered_model_aliases", columns
            )
            if alias == wanted[1:]
        }
        return [key for key, _ in versions if key in aliased]
    if wanted.lower() == "latest":
        newest: dict[str, VersionKey] = {}
        for key, _ in versions:
            newest[key[0]] = max(newest.get(key[0], key), key)
        return list(newest.values())
    if wanted.isdigit():
        return [key for key, _ in versions if key[2] == int(wanted)]
    return [key for key, stage in versions if (stage or "None").lower() == wanted.lower()]
