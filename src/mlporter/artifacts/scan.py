"""Every artifact file of many owners, in order, with everything that could not be found said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Protocol

from mlporter.artifacts.disk.presence import is_there
from mlporter.artifacts.listing import ArtifactFile, Found, FoundFile, Problem, Report
from mlporter.artifacts.places import LocalPlace, Place
from mlporter.artifacts.prefetch import prefetched
from mlporter.errors import LeftOut, OutsideError, UnreachableError
from mlporter.redaction import redact

__all__ = ["Absent", "Elsewhere", "OpenPlace", "Owner", "find_outside", "scan_owners"]

OpenPlace = Callable[[str], Place]
"""Opens an artifact URI; raises UnreachableError if nothing can be looked for there."""
Absent = Callable[[str], str | None]
"""What the place of an artifact URI is called that is surely not there; None if it may be."""

_EXPERIMENTS = 4096
_AT_FIRST = 1_000
"""Files of an owner that are listed ahead; the others as they are asked for."""
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

    Owners are listed concurrently, `workers` at a time, with a bounded look-ahead: of an owner
    with many files not all are known when the first ones come, and no list of them is held.
    `report` is only called from the iterating thread, between the files of the owner that it is
    about, or before or after them. `ArtifactFile.token` is the owner's URI, or what
    `elsewhere` gave for it, so that ``open_place(file.token).open(file.path)`` are its bytes.

    Reported: ``unreachable`` (the root cannot be looked at), ``outside`` (it is nobody's artifact
    root, and not looked at), ``missing`` (files were expected),
    ``unreadable``, ``unsafe-path`` and unfinished uploads (``transient``, expected).
    """
    looker = _Looker(open_place, elsewhere, absent)
    for owner, (place, found) in prefetched(owners, looker.look, workers):
        for item in found:
            if isinstance(item, Problem):
                report(_left_out(owner, item))
            else:
                yield ArtifactFile(
                    owner.kind, owner.id, item.path, item.size, token=place, stamp=item.stamp
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


_Looked = tuple[str, Iterator[Found]]
"""The place that an owner's files were found in, and the files."""


class _Looker:
    """Lists one owner's files, and says why there are none."""

    def __init__(self, open_place: OpenPlace, elsewhere: Elsewhere | None, absent: Absent) -> None:
        self._open_place = open_place
        self._elsewhere = elsewhere
        self._absent = absent
        self._is_here = lru_cache(_EXPERIMENTS)(self._experiment_is_here)

    def look(self, owner: Owner) -> _Looked:
        """The owner's files and problems, the first of them; never raises for what is not there."""
        try:
            place, found = self._listed(owner)
            first = list(islice(found, _AT_FIRST))
        except (UnreachableError, OSError) as error:
            return owner.uri or "", iter((_failure(error),))
        return place, chain(first, _rest(found)) if len(first) == _AT_FIRST else iter(first)

    def _listed(self, owner: Owner) -> _Looked:
        home = self._elsewhere.home(owner) if self._elsewhere else None
        if home is not None and not self._is_absent(place := self._open_place(home)):
            return home, _complete(owner, _without_load_marks(place.list()))
        if not owner.uri:
            return "", _complete(owner, ())
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
        return owner.uri, _complete(owner, _without_load_marks(place.list()))

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
            files = _without_load_marks(self._open_place(found).list())
            return found, _complete(owner, files)
        is_outside = isinstance(problem, OutsideError)
        if problem is not None and (is_outside or not (known and known.is_home(owner))):
            raise problem
        return owner.uri or "", _complete(owner, ())

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


def _complete(owner: Owner, found: Iterable[Found]) -> Iterator[Found]:
    """The same, and that files are missing where none came, and nothing that explains it."""
    is_explained = not owner.expects_files
    for item in found:
        is_explained = is_explained or isinstance(item, FoundFile) or not item.expected
        yield item
    if not is_explained:
        detail = "it has no files" if owner.uri else "it has no artifact location"
        yield Problem("", "missing", detail)


def _rest(found: Iterator[Found]) -> Iterator[Found]:
    """The same, and why it ends where it does."""
    try:
        yield from found
    except (UnreachableError, OSError) as error:
        yield _failure(error)


def _failure(error: UnreachableError | OSError) -> Problem:
    if isinstance(error, OSError):
        return Problem("", "unreadable", str(error))
    reason = "outside" if isinstance(error, OutsideError) else "unreachable"
    return Problem("", reason, _said(error))


def _without_load_marks(found: Iterable[Found]) -> Iterator[Found]:
    """Leave out what MLflow writes beside a model whenever it loads it from a local folder.

    The file says by which name and version the model was last loaded, and is no artifact that
    anybody logged (`ModelsArtifactRepository._add_registered_model_meta_file`). It comes after
    the `MLmodel` of its folder.
    """
    models: list[str] = []  # Folders that have one, of which files may still come.
    for item in found:
        if isinstance(item, FoundFile):
            while models and not item.path.startswith(models[-1]):
                models.pop()
            folder, name = _parts(item.path)
            if name == _MODEL:
                models.append(folder)
            elif name == _LOAD_MARK and models and models[-1] == folder:
                detail = "MLflow creates it when it loads the model"
                yield Problem(item.path, "transient", detail, expected=True)
                continue
        yield item


def _parts(path: str) -> tuple[str, str]:
    """Folder, with its slash, and name."""
    at = path.rfind("/") + 1
    return path[:at], path[at:]
