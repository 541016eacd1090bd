"""The artifact files of a registry: found behind the URIs in its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.scan import Owner, find_outside, scan_owners
from mlporter.artifacts.uris.allowed_folders import Roots
from mlporter.artifacts.uris.ownership import Where
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.bundle.tables.rows import python_rows
from mlporter.stores.artifact_places.portable import PlacedFile, place_elsewhere
from mlporter.stores.protocols import Among
from mlporter.stores.rows.other_places import OTHER, other_places
from mlporter.stores.rows.skill_places import skill_places
from mlporter.stores.rows.spool import SortedLookup
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlporter.artifacts.scan import OpenPlace
    from mlporter.artifacts.uris.uri_text import UriMap
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import ArtifactFile, Keep, Report
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["EXPERIMENT_PLACES", "READY", "TRACE_LOCATION", "StoreFiles", "recorded_places"]
__all__ += ["recorded_roots"]

READY = 2
"""`mlflow.entities.LoggedModelStatus.READY` as the database stores it."""
TRACE_LOCATION = "mlflow.artifactLocation"
_ARCHIVE_LOCATION = "mlflow.trace.archiveLocation"

EXPERIMENT_PLACES = ("experiment_id", "artifact_location")
"""Columns of `experiments`."""
_WORKSPACE_PLACES = ("default_artifact_root", "trace_archival_location")


def recorded_roots(
    reader: TableReader, named: Iterable[Path], uri_map: UriMap, base: Path | None
) -> Roots:
    """The folders that a registry keeps files in, as its rows say, and those that were named."""
    places = ((id_, local_path(uri, base)) for id_, uri in recorded_places(reader, uri_map))
    found = [(id_, path) for id_, path in places if path is not None]
    experiments = [(id_, path) for id_, path in found if id_]
    return Roots.of(named, experiments, [path for id_, path in found if not id_])


def recorded_places(reader: TableReader, uri_map: UriMap) -> Iterator[tuple[str, str]]:
    """Where rows say that the files of many are: ids of experiments, or "", and mapped URIs."""
    for id_, uri in rows_of(reader, "experiments", EXPERIMENT_PLACES):
        if uri:
            yield str(id_), uri_map.apply(uri)
    for row in rows_of(reader, "workspaces", _WORKSPACE_PLACES):
        yield from (("", uri_map.apply(uri)) for uri in row if uri)


class StoreFiles:
    """Lists and opens the files of every owner that the tables name.

    Args:
        reader: The tables.
        open_place: Opens an artifact URI.
        check: Refuses what may not be looked at, and opens nothing; see `Places.check`.
        workers: How many places are listed at a time.
    """

    def __init__(
        self,
        reader: TableReader,
        open_place: OpenPlace,
        check: Callable[[str], None],
        workers: int = 4,
    ) -> None:
        self._reader = reader
        self._open = open_place
        self._check = check
        self._workers = workers

    def scan(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every file, by owner kind, owner id and path; what cannot be found goes to `report`."""
        return scan_owners(self._wanted(keep), self._open, report, self._workers)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root."""
        return find_outside(self._known_owners(), self._check)

    def open(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file."""
        return self._open(file.token).open(file.path)

    def elsewhere(self, file: ArtifactFile) -> PlacedFile | None:
        """Where other processes find them; None where this one alone may look, or can."""
        place = place_elsewhere(self._open(file.token))
        return None if place is None else PlacedFile(place, file.path)

    def _wanted(self, keep: Keep | None) -> Iterator[Owner]:
        owners = self._owners()
        if keep is None:
            return owners
        return (owner for owner in owners if keep(owner.kind, owner.id))

    def _strangers(self) -> Iterable[Owner]:
        """Owners that no row names."""
        return ()

    def _owners(self) -> Iterator[Owner]:
        """Everything that can own files, in the order of `OWNER_KINDS` and of ids."""
        return self._known_owners(self._strangers)

    def _known_owners(self, strangers: Callable[[], Iterable[Owner]] = tuple) -> Iterator[Owner]:
        """The same, with these in place of owners that no row names."""
        experiments = dict(rows_of(self._reader, "experiments", EXPERIMENT_PLACES))
        yield from self._logged_models(experiments)
        yield from self._model_versions()
        yield from strangers()
        for found in other_places(self._reader):
            if found.file_owner is None:
                yield Owner(OTHER, found.owner, found.uri, expects_files=True)
        for run, uri, number in rows_of(self._reader, "runs", _RUN):
            yield _owner("run", run, uri, number, experiments)
        yield from self._skill_versions()
        if any(table.name == "trace_tags" for table in self._reader.tables):
            yield from self._traces(experiments)
            for trace, uri in self._tagged(_ARCHIVE_LOCATION):
                yield Owner("trace_archive", trace, uri, expects_files=True)

    def _logged_models(self, experiments: dict[int, str]) -> Iterator[Owner]:
        for model, uri, status, stage, number in rows_of(
            self._reader, "logged_models", _LOGGED_MODEL
        ):
            ready = status == READY and stage != "deleted"
            yield _owner("logged_model", model, uri, number, experiments, expects_files=ready)

    def _model_versions(self) -> Iterator[Owner]:
        own = {
            version_owner_id(key): location.uri
            for key, location in locations_of(self._reader).items()
            if location.where is Where.OWN
        }
        for owner in sorted(own):
            yield Owner("model_version", owner, own[owner], expects_files=True)

    def _skill_versions(self) -> Iterator[Owner]:
        for owner, place in sorted(skill_places(self._reader).items()):
            yield Owner("skill_version", owner, place.uri, expects_files=not place.is_deleted)

    def _traces(self, experiments: dict[int, str]) -> Iterator[Owner]:
        lookup = SortedLookup(
            lambda: self._reader.read("trace_info", ("request_id", "experiment_id"))
        )
        for trace, uri in self._tagged(TRACE_LOCATION):
            found = lookup.get(trace)
            yield _owner("trace", trace, uri, found[0] if found else None, experiments)

    def _tagged(self, key: str) -> Iterator[tuple[str, str]]:
        """Trace ids with the value of a tag."""
        among = Among("key", (key,))
        for batch in self._reader.read("trace_tags", ("request_id", "value"), among):
            yield from python_rows(batch)


_RUN = ("run_uuid", "artifact_uri", "experiment_id")
_LOGGED_MODEL = ("model_id", "artifact_location", "status", "lifecycle_stage", "experiment_id")


def _owner(  # noqa: PLR0913 -- the fields of an owner
    kind: str,
    id_: str,
    uri: str | None,
    number: int | None,
    experiments: dict[int, str],
    *,
    expects_files: bool = False,
) -> Owner:
    """An owner in an experiment, which may not be there, as SQLite checks no reference."""
    if number is None:
        return Owner(kind, id_, uri, expects_files)
    return Owner(kind, id_, uri, expects_files, experiments.get(number), str(number))
