"""Every artifact file of many owners, in order, with everything that could not be found said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from mlporter.artifacts.ahead import ahead
from mlporter.artifacts.files import ArtifactFile, Report
from mlporter.artifacts.places import Listing, LocalPlace, Place, Problem
from mlporter.errors import LeftOut, UnreachableError
from mlporter.redaction import redact

__all__ = ["OpenPlace", "Owner", "scan_owners"]

OpenPlace = Callable[[str], Place]
"""Opens an artifact URI; raises UnreachableError if nothing can be looked for there."""

_EXPERIMENTS = 4096
_MODEL = "MLmodel"
_LOAD_MARK = "registered_model_meta"


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody whose files are to be listed.

    Attributes:
        kind: ``run``, ``logged_model``, ``trace`` or ``model_version``.
        id: The owner's id.
        uri: Its artifact root as recorded, or None.
        expects_files: True where it is wrong to have none: a logged model that is ready, a model
            version with files of its own. A run or a trace may have none.
        experiment_uri: Its experiment's artifact root, which tells "this run logged no files"
            from "the whole disk is not here".
    """

    kind: str
    id: str
    uri: str | None
    expects_files: bool = False
    experiment_uri: str | None = None


def scan_owners(
    owners: Iterable[Owner], open_place: OpenPlace, report: Report, workers: int = 8
) -> Iterator[ArtifactFile]:
    """The files of each owner: owners in the order given, each one's files sorted by path.

    Owners are listed concurrently, `workers` at a time, with a bounded look-ahead. `report` is
    only called from the iterating thread. `ArtifactFile.token` is the owner's URI, so that
    ``open_place(file.token).open(file.path)`` are its bytes.

    Reported: ``unreachable`` (the root cannot be looked at), ``missing`` (files were expected),
    ``unreadable``, ``unsafe-path`` and unfinished uploads (``transient``, expected).
    """
    looker = _Looker(open_place)
    for owner, listing in ahead(owners, looker.look, workers):
        for problem in listing.problems:
            report(_left_out(owner, problem))
        for file in listing.files:
            yield ArtifactFile(
                owner.kind,
                owner.id,
                file.path,
                file.size,
                token=owner.uri or "",
                stamp=file.stamp,
            )


def _left_out(owner: Owner, problem: Problem) -> LeftOut:
    kind = "artifact" if problem.path else owner.kind
    return LeftOut(kind, owner.id, problem.path, problem.reason, problem.detail, problem.expected)


class _Looker:
    """Lists one owner's files, and says why there are none."""

    def __init__(self, open_place: OpenPlace) -> None:
        self._open_place = open_place
        self._is_here = lru_cache(_EXPERIMENTS)(self._experiment_is_here)

    def look(self, owner: Owner) -> Listing:
        """The owner's files and problems; never raises for what is merely not there."""
        if not owner.uri:
            return self._complete(owner, Listing())
        try:
            place = self._open_place(owner.uri)
            if self._is_elsewhere(owner, place):
                return _problem("unreachable", _elsewhere(owner, place))
            return self._complete(owner, _without_load_marks(place.list()))
        except UnreachableError as error:
            return _problem("unreachable", f"{error} ({error.hint})" if error.hint else str(error))
        except OSError as error:
            return _problem("unreadable", str(error))

    def _complete(self, owner: Owner, listing: Listing) -> Listing:
        unexplained = not listing.files and all(p.expected for p in listing.problems)
        if owner.expects_files and unexplained:
            detail = "it has no files" if owner.uri else "it names no place for its files"
            return Listing((), (*listing.problems, Problem("", "missing", detail)))
        return listing

    def _is_elsewhere(self, owner: Owner, place: Place) -> bool:
        """A local root that is absent, in an experiment that is absent with its parent folder."""
        if not isinstance(place, LocalPlace) or place.exists() or not owner.experiment_uri:
            return False
        return not self._is_here(owner.experiment_uri)

    def _experiment_is_here(self, uri: str) -> bool:
        try:
            place = self._open_place(uri)
        except UnreachableError:
            return False
        return not isinstance(place, LocalPlace) or (
            place.root.exists() or place.root.parent.exists()
        )


def _elsewhere(owner: Owner, place: Place) -> str:
    source = redact(owner.experiment_uri or "")
    return (
        f"{place.uri} is not here, nor is its experiment's folder; if the files are elsewhere: "
        f"--map-uri '{source}=FOLDER'"
    )


def _without_load_marks(listing: Listing) -> Listing:
    """Leave out what MLflow writes beside a model whenever it loads it from a local folder.

    The file says by which name and version the model was last loaded, and is no artifact that
    anybody logged (`ModelsArtifactRepository._add_registered_model_meta_file`).
    """
    folders = {file.path[: -len(_MODEL)] for file in listing.files if _is_named(file.path, _MODEL)}
    marks = {f"{folder}{_LOAD_MARK}" for folder in folders}
    found = [file.path for file in listing.files if file.path in marks]
    if not found:
        return listing
    detail = "MLflow writes it when it loads the model"
    problems = tuple(Problem(path, "transient", detail, expected=True) for path in found)
    files = tuple(file for file in listing.files if file.path not in marks)
    return Listing(files, listing.problems + problems)


def _is_named(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")


def _problem(reason: str, detail: str) -> Listing:
    return Listing((), (Problem("", reason, detail),))
