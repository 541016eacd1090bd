"""What a model version is made of on a server: it names the run or logged model that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import PLACEHOLDER_SOURCES, Where
from mlporter.artifacts.uris.uri_text import scheme_of, uri_below

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.artifacts.uris.ownership import FileOwner, Location
    from mlporter.plan.ids.id_map import IdMap

__all__ = ["PLACEHOLDER_SOURCE", "Named", "has_own_files", "names_version", "source_of"]

PLACEHOLDER_SOURCE = "dbfs:/mlporter/placeholder"
"""Names nothing: of a version that is deleted as soon as it has taken its number."""
_ON_THE_SERVER = {"", "file", "mlflow-artifacts"}
"""Schemes of places that only one machine, or one server, can reach."""


@dataclass(frozen=True)
class Named:
    """What the request that makes a version says about its files.

    Attributes:
        source: The URI.
        run: The run (the server's id) whose files they are, or that the version belongs to.
        model: The logged model (the server's id) whose files they are.
        own: Whether the files have a place of their own, so that one must be made for them.
        refused: Why it cannot be made, or "".
    """

    source: str
    run: str | None = None
    model: str | None = None
    own: bool = False
    refused: str = ""


def has_own_files(location: Location | None) -> bool:
    """Whether a version has files of its own, at a place that the server could not reach."""
    own = location is not None and location.where is Where.OWN
    return own and scheme_of(location.uri or "") in _ON_THE_SERVER if location else False


def source_of(
    mapped: Mapping[str, Any],
    location: Location | None,
    ids: IdMap,
    root_of: Callable[[str, str], str],
) -> Named:
    """Decide what a version names.

    Args:
        mapped: The version by the server's ids.
        location: Where its files lie in the source.
        ids: The server's ids.
        root_of: The root on the server of a run's or a logged model's copy, by the kind
            (``run``, ``logged_model``) and the source's id.
    """
    run, text = mapped["run_id"] or None, str(mapped["source"] or "")
    if text in PLACEHOLDER_SOURCES or location is None:
        return Named(text, run)
    if location.where is Where.ANCHORED and location.file_owner is not None:
        return _anchored(text, run, location.file_owner, ids, root_of)
    return Named(text, run, own=has_own_files(location))


def _anchored(
    text: str,
    run: str | None,
    file_owner: FileOwner,
    ids: IdMap,
    root_of: Callable[[str, str], str],
) -> Named:
    """What a version names whose files lie in a run or in a logged model."""
    table = "runs" if file_owner.owner_kind == "run" else "logged_models"
    owner = ids.of(table).get(file_owner.owner_id)
    if owner is None:
        return Named(text, run, refused=f"its {file_owner.owner_kind} is not copied")
    if names_version(text):
        return Named(text, run)
    place = uri_below(root_of(file_owner.owner_kind, file_owner.owner_id), file_owner.rest)
    if table == "logged_models":
        return Named(f"models:/{owner}" if text.startswith("models:/") else place, run, owner)
    return Named(text if text.startswith("runs:/") else place, owner)


def names_version(source: str) -> bool:
    """Whether a version is a copy of another model's version."""
    return source.startswith("models:/") and "/" in source.removeprefix("models:/")
