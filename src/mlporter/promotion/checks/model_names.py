"""Model versions as people name them: ``models:/churn/3``, ``models:/churn@candidate``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlporter.errors import RefusedError, UsageError
from mlporter.selection.versions import STAGES, aliases_of, matching_versions, stages_of
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["ModelName", "check_alias", "check_stage", "find_versions"]

_NAME = re.compile(r"(?:models:/+)?(?P<name>[^/@:]+)(?:@(?P<alias>[^/@]+)|/(?P<rest>[^/@]+))?")
_ALIAS = re.compile(r"[\w\-]+")
_NUMBER = re.compile(r"v\d+", re.IGNORECASE)
_SHOWN = 8


@dataclass(frozen=True)
class ModelName:
    """A registered model, and which of its versions.

    Attributes:
        model: The registered model's name.
        version: ``3``, ``latest``, ``Production``, ``@candidate``; "" for all versions.
    """

    model: str
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """The name that a ``models:/…`` URI, or the same without its scheme, says.

        Raises:
            UsageError: it is none; or the id of a logged model, which is no registered model.
        """
        found = _NAME.fullmatch(text)
        if found is None or text in {"models:/", "models:"}:
            raise UsageError(
                f"{text!r} names no model version",
                hint="models:/NAME/3, models:/NAME@ALIAS, models:/NAME/Production, "
                "models:/NAME/latest, or models:/NAME for all versions",
            )
        alias, rest = found["alias"], found["rest"]
        return cls(found["name"], f"@{alias}" if alias else rest or "")

    def __str__(self) -> str:
        """As a URI."""
        joint = "" if self.version.startswith("@") or not self.version else "/"
        return f"models:/{self.model}{joint}{self.version}"


def find_versions(source: TableReader, asked: ModelName, place: str) -> list[VersionKey]:
    """The versions that a name means, by workspace and number.

    Args:
        source: Where to look.
        asked: The name.
        place: What the source is called in errors.

    Raises:
        RefusedError: there is no such model, version, alias or stage; the hint says what there is.
    """
    models = {name for (name,) in rows_of(source, "registered_models", ("name",))}
    if asked.model not in models:
        raise RefusedError(
            f"there is no registered model {asked.model!r}",
            subject=place,
            hint=_there(asked.model, models, "there are no registered models"),
        )
    stages, aliases = stages_of(source, asked.model), aliases_of(source, asked.model)
    found = matching_versions(asked.version, stages, aliases)
    if not found:
        known = {f"@{alias}" for alias, _ in aliases} | set(stages.values()) - {"None"}
        known |= {str(key[2]) for key in stages}
        what = f"version {asked.version!r}" if asked.version else "versions"
        raise RefusedError(
            f"registered model {asked.model!r} has no {what}",
            subject=place,
            hint=_there(asked.version, known, "it has no versions"),
        )
    return sorted(found)


def _there(wanted: str, known: Iterable[str], nothing: str) -> str:
    names = sorted(known)
    near = get_close_matches(wanted, names, n=_SHOWN, cutoff=0.4) or names[:_SHOWN]
    return f"there is {', '.join(near)}" if near else nothing


def check_alias(alias: str) -> None:
    """Refuse what MLflow takes for no alias: ``latest``, ``v1`` and the like.

    As `mlflow.utils.validation._validate_model_alias_name` says.

    Raises:
        UsageError: it cannot be an alias.
    """
    reserved = alias.lower() == "latest" or _NUMBER.fullmatch(alias)
    if reserved or not _ALIAS.fullmatch(alias):
        why = "is reserved by MLflow" if reserved else "is not a name that MLflow accepts"
        raise UsageError(
            f"alias {alias!r} {why}", hint="letters, digits, - and _; neither latest nor v1, v2 …"
        )


def check_stage(stage: str) -> str:
    """The stage as MLflow spells it.

    Raises:
        UsageError: there is no such stage.
    """
    for known in STAGES:
        if stage.lower() == known.lower():
            return known
    raise UsageError(f"there is no stage {stage!r}", hint=f"one of {', '.join(STAGES)}")
