"""Every artifact file of many owners, in order, with everything that could not be found said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from mlporter.artifacts.disk.presence import is_there
from mlporter.artifacts.listing import ArtifactFile, Report
from mlporter.artifacts.places import Listing, LocalPlace, Place, Problem
from mlporter.artifacts.prefetch import prefetched
from mlporter.errors import LeftOut, OutsideError, UnreachableError
from mlporter.redaction import redact

__all__ = ["Absent", "Elsewhere", "OpenPlace", "Owner", "find_outside", "scan_owners"]

OpenPlace = Callable[[str], Place]
"""Opens an artifact URI; raises UnreachableError if nothing can be looked for there."""
Absent = Callable[[str], str | None]
"""What the place of an artifact URI is called that is surely not there; None if it may be."""

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
        experiment: Its experiment's id.
    """

    kind: str
    id: str
    uri: str | None
    expects_files: bool = False
    experiment_uri: str | None = None
    experiment: str | None = None


class Elsewhere(Protocol):
    """Where to look for files that are not where they were recorded."""

    def home(self, owner: Owner) -> str | None:
        """The place that its files have in the store, whatever was recorded, or None."""

    def find(self, owner: Owner) -> str | None:
        """A place of an owner's files that `OpenPlace` opens, or None."""

    def is_home(self, owner: Owner) -> bool:
        """Whether the owner's would be found if there were any."""


def scan_owners(  # noqa: PLR0913, PLR0917 -- where to look, and where else
    owners: Iterable[Owner],
    open_place: OpenPlace,
    report: Report,
    workers: int = 8,
    elsewhere: Elsewhere | None = None,
    absent: Absent = lambda _uri: None,
) -> Iterator[ArtifactFile]:
    """The files of each owner: owners in the order given, each one's files sorted by path.

    Owners are listed concurrently, `workers` at a time, with a bounded look-ahead. `report` is
    only called from the iterating thread. `ArtifactFile.token` is the owner's URI, or what
    `elsewhere` gave for it, so that ``open_place(file.token).open(file.path)`` are its bytes.

    Reported: ``unreachable`` (the root cannot be looked at), ``outside`` (it is nobody's artifact
    root, and not looked at), ``missing`` (files were expected),
    ``unreadable``, ``unsafe-path`` and unfinished uploads (``transient``, expected).
    """
    looker = _Looker(open_place, elsewhere, absent)
    for owner, (place, listing) in prefetched(owners, looker.look, workers):
        for problem in listing.problems:
            report(_left_out(owner, problem))
        for file in listing.files:
            yield ArtifactFile(
                owner.kind, owner.id, file.path, file.size, token=place, stamp=file.stamp
            )


def find_outside(
    owners: Iterable[Owner],
    check: Callable[[str], None],
    elsewhere: Elsewhere | None = None,
    is_here: Callable[[str], bool] = lambda _uri: True,
) -> Iterator[LeftOut]:
    """The owners whose place is nobody's artifact root, as `scan_owners` reports them.

    No place is listed, and no other machine is asked.

    Args:
        owners: All of them.
        check: Raises OutsideError for a URI that may not be looked at.
        elsewhere: Where else their files may be.
        is_here: Whether there is anything in a place that `elsewhere` names.
    """
    for owner in owners:
        home = elsewhere.home(owner) if elsewhere else None
        if not owner.uri or (home is not None and is_here(home)):
            continue
        try:
            check(owner.uri)
        except OutsideError as error:
            if error.is_there or elsewhere is None or elsewhere.find(owner) is None:
                yield _left_out(owner, Problem("", "outside", _said(error)))


def _left_out(owner: Owner, problem: Problem) -> LeftOut:
    kind = "artifact" if problem.path else owner.kind
    return LeftOut(kind, owner.id, problem.path, problem.reason, problem.detail, problem.expected)


_Looked = tuple[str, Listing]
"""The place that an owner's files were found in, and the files."""


class _Looker:
    """Lists one owner's files, and says why there are none."""

    def __init__(self, open_place: OpenPlace, elsewhere: Elsewhere | None, absent: Absent) -> None:
        self._open_place = open_place
        self._elsewhere = elsewhere
        self._absent = absent
        self._is_here = lru_cache(_EXPERIMENTS)(self._experiment_is_here)

    def look(self, owner: Owner) -> _Looked:
        """The owner's files and problems; never raises for what is merely not there."""
        try:
            return self._listed(owner)
        except OutsideError as error:
            return owner.uri or "", _problem("outside", _said(error))
        except UnreachableError as error:
            return owner.uri or "", _problem("unreachable", _said(error))
        except OSError as error:
            return owner.uri or "", _problem("unreadable", str(error))

    def _listed(self, owner: Owner) -> _Looked:
        home = self._elsewhere.home(owner) if self._elsewhere else None
        if home is not None and not self._is_absent(place := self._open_place(home)):
            return home, self._complete(owner, _without_load_marks(place.list()))
        if not owner.uri:
            return "", self._complete(owner, Listing())
        absent = self._absent(owner.uri)
        if absent is not None:
            return self._lacking(owner, absent)
        try:
            place = self._open_place(owner.uri)
        except UnreachableError as error:
            if isinstance(error, OutsideError) and error.is_there:
                raise
            return self._instead(owner, error)
        if self._is_absent(place):
            return self._lacking(owner, place.uri)
        return owner.uri, self._complete(owner, _without_load_marks(place.list()))

    def _lacking(self, owner: Owner, place: str) -> _Looked:
        """The files of an owner whose place is not there."""
        problem = _not_here(owner, place) if self._is_elsewhere(owner) else None
        return self._instead(owner, problem)

    def _instead(self, owner: Owner, problem: UnreachableError | None) -> _Looked:
        """The files of an owner that are not where they were recorded.

        Raises:
            UnreachableError: `problem`, if there are none elsewhere, and there might have been.
        """
        known = self._elsewhere
        found = known.find(owner) if known else None
        if found is not None:
            listing = _without_load_marks(self._open_place(found).list())
            return found, self._complete(owner, listing)
        is_outside = isinstance(problem, OutsideError)
        if problem is not None and (is_outside or not (known and known.is_home(owner))):
            raise problem
        return owner.uri or "", self._complete(owner, Listing())

    def _complete(self, owner: Owner, listing: Listing) -> Listing:
        unexplained = not listing.files and all(p.expected for p in listing.problems)
        if owner.expects_files and unexplained:
            detail = "it has no files" if owner.uri else "it has no artifact location"
            return Listing((), (*listing.problems, Problem("", "missing", detail)))
        return listing

    @staticmethod
    def _is_absent(place: Place) -> bool:
        return isinstance(place, LocalPlace) and not place.exists()

    def _is_elsewhere(self, owner: Owner) -> bool:
        """Whether its experiment's folder is absent too, with the folder that it lies in."""
        return bool(owner.experiment_uri) and not self._is_here(owner.experiment_uri or "")

    def _experiment_is_here(self, uri: str) -> bool:
        try:
            place = self._open_place(uri)
        except UnreachableError:
            return False
        return not isinstance(place, LocalPlace) or (
            is_there(place.root) or is_there(place.root.parent)
        )


def _said(error: UnreachableError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


@lru_cache(_EXPERIMENTS)
def _redacted(uri: str) -> str:
    """As `redact`, for what many owners have alike."""
    return redact(uri)


def _not_here(owner: Owner, place: str) -> UnreachableError:
    source = _redacted(owner.experiment_uri or "")
    return UnreachableError(
        f"{place} is not here, nor is its experiment's folder; if the files are elsewhere: "
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
    detail = "MLflow creates it when it loads the model"
    problems = tuple(Problem(path, "transient", detail, expected=True) for path in found)
    files = tuple(file for file in listing.files if file.path not in marks)
    return Listing(files, listing.problems + problems)


def _is_named(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")


def _problem(reason: str, detail: str) -> Listing:
    return Listing((), (Problem("", reason, detail),))
