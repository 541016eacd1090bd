"""What a model version is made of on a server: it names the run or logged model that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.anchors import PLACEHOLDER_SOURCES, Where
from mlporter.artifacts.layout import quote_name
from mlporter.artifacts.uris import scheme_of, uri_below

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlporter.artifacts.anchors import Location
    from mlporter.transfer.merge.idmap import IdMap

__all__ = ["PLACEHOLDER_SOURCE", "Named", "has_own_files", "own_folder", "source_of"]

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
        refused: Why it cannot be made, or "".
    """

    source: str
    run: str | None = None
    model: str | None = None
    refused: str = ""


def has_own_files(location: Location | None) -> bool:
    """Whether a version has files of its own, at a place that the server could not reach."""
    own = location is not None and location.where is Where.OWN
    return own and scheme_of(location.uri or "") in _ON_THE_SERVER if location else False


def own_folder(name: str, version: int) -> str:
    """Where in its run's files those of a version go that had a place of their own."""
    return f"mlporter/model_versions/{quote_name(name)}/{version}"


def source_of(
    row: Mapping[str, Any],
    mapped: Mapping[str, Any],
    location: Location | None,
    ids: IdMap,
    root_of: Callable[[str, str], str],
) -> Named:
    """Decide what a version names.

    Args:
        row: The version as it is in the source.
        mapped: The same by the server's ids.
        location: Where its files lie in the source.
        ids: The server's ids.
        root_of: The root on the server of a run's or a logged model's copy, by the kind
            (``run``, ``logged_model``) and the source's id.
    """
    run, text = mapped["run_id"] or None, str(mapped["source"] or "")
    if text in PLACEHOLDER_SOURCES or location is None:
        return Named(text, run)
    if location.where is Where.ANCHORED and location.anchor is not None:
        anchor = location.anchor
        table = "runs" if anchor.owner_kind == "run" else "logged_models"
        owner = ids.of(table).get(anchor.owner_id)
        if owner is None:
            return Named(text, run, refused=f"its {anchor.owner_kind} is not carried")
        if text.startswith("models:/") and "/" in text.removeprefix("models:/"):
            return Named(text, run)
        if anchor.owner_kind == "logged_model":
            source = (
                f"models:/{owner}"
                if text.startswith("models:/")
                else (uri_below(root_of("logged_model", anchor.owner_id), anchor.rest))
            )
            return Named(source, run, owner)
        if text.startswith("runs:/"):
            return Named(text, owner)
        return Named(uri_below(root_of("run", anchor.owner_id), anchor.rest), owner)
    if has_own_files(location):
        if run is None or row["run_id"] not in ids.of("runs"):
            why = (
                "its files lie outside of every run and logged model, and a server takes only such"
            )
            return Named(text, run, refused=why)
        folder = own_folder(mapped["name"], mapped["version"])
        return Named(uri_below(root_of("run", row["run_id"]), folder), run)
    return Named(text, run)
