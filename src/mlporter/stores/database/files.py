"""The artifact files of a registry in a database: found behind the URIs in its tables."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Protocol

from mlporter.artifacts.anchors import Where
from mlporter.artifacts.beside import Beside, Moved, here_path, here_token, strays
from mlporter.artifacts.places import LocalPlace, Place
from mlporter.artifacts.scan import Owner, scan_owners
from mlporter.artifacts.uris import UriMap
from mlporter.errors import UnreachableError
from mlporter.stores.lookup import SortedLookup
from mlporter.stores.places import Places
from mlporter.stores.protocols import Among, only_orphans
from mlporter.stores.versions import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import ArtifactFile, Keep, Report

__all__ = ["DatabaseFiles"]

_READY = 2
"""`mlflow.entities.LoggedModelStatus.READY` as the database stores it."""
_DELETED_VERSION = "Deleted_Internal"
_TRACE_LOCATION = "mlflow.artifactLocation"
_ARCHIVE_LOCATION = "mlflow.trace.archiveLocation"


class Tables(Protocol):
    """The part of a reader that this needs."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables."""

    @property
    def by_name(self) -> Mapping[str, Table]:
        """The same by name."""

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""


class DatabaseFiles:
    """Lists and opens the files of every owner that the tables name.

    Args:
        reader: The tables.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        workers: How many places are listed at a time.
        base: What relative URIs are relative to; None for the current directory.
        beside: The folder where files are looked for that are not where they were recorded.
        orphans: List also what no row points to.
        homes: Folders of a file store's own experiments, each with what the ids of its orphans
            begin with.
        folders: By kind and id of owners in it the folders of their files, where these are not
            called as the ids are, or lie in the trash.

    Attributes:
        notes: What people should know of the files that were listed, once they were.
    """

    def __init__(  # noqa: PLR0913 -- where files may be, which is all there is to say
        self,
        reader: Tables,
        uri_map: tuple[str, ...] = (),
        workers: int = 4,
        *,
        base: Path | None = None,
        beside: Path | None = None,
        orphans: bool = False,
        homes: tuple[tuple[str, Path], ...] = (),
        folders: Mapping[tuple[str, str], Path] = MappingProxyType({}),
    ) -> None:
        self._reader = reader
        self._workers = workers
        self._with_orphans = orphans
        self._homes = homes
        self._folders = folders
        pairs = UriMap.parse(uri_map)
        self._places = Places(base=base, uri_map=pairs)
        self._beside = Beside(beside, self._known) if beside is not None else None
        self._moved = Moved(self._beside, pairs)
        self.notes: tuple[str, ...] = ()

    def scan(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every file, by owner kind, owner id and path; what cannot be found goes to `report`."""
        owners = self._owners()
        if keep is only_orphans:
            owners = iter(self.orphans() if self._with_orphans else ())
        elif keep is not None:
            owners = (owner for owner in owners if keep(owner.kind, owner.id))
        owners = map(self._at_home, owners)
        yield from scan_owners(owners, self._place, report, self._workers, self._moved)
        is_told = self._with_orphans or keep is not None
        orphans = 0 if is_told else len(self.orphans())
        self.notes = (*self._moved.notes, *([_orphans_note(orphans)] if orphans else []))

    def open(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of a file."""
        return self._place(file.token).open(file.path)

    def _at_home(self, owner: Owner) -> Owner:
        """An owner in a file store, with the place that its files really have there."""
        folder = self._folders.get((owner.kind, owner.id))
        if folder is None or not self._moved.is_asked(owner):
            return owner
        if folder.is_dir():
            return replace(owner, uri=here_token(folder))
        recorded = self._places.open(owner.uri) if owner.uri else None
        is_there = recorded is not None and recorded.exists()
        return owner if is_there else replace(owner, uri=None)

    def _place(self, uri: str) -> Place:
        path = here_path(uri)
        return self._places.open(uri) if path is None else LocalPlace(path)

    def orphans(self) -> list[Owner]:
        """Folders of files that no row points to."""
        recorded = list(self._experiments_here())
        beside = self._beside
        found = beside.orphans(recorded) if beside else strays(recorded, self._known)
        if self._homes:
            found += strays(self._homes, self._known, described=True)
            taken = {here_token(folder) for folder in self._folders.values()}
            mine = {owner.id: owner for owner in found if owner.uri not in taken}
            found = sorted(mine.values(), key=_id_bytes)
        return found

    def _experiments_here(self) -> Iterator[tuple[str, Path]]:
        """The local folders of experiments, where they were recorded."""
        for experiment, uri in rows_of(self._reader, "experiments", _EXPERIMENT):
            with suppress(UnreachableError):
                place = self._places.open(uri) if uri else None
                if isinstance(place, LocalPlace) and place.exists():
                    yield f"{experiment}/", place.root

    def _known(self, kind: str, ids: tuple[str, ...]) -> frozenset[str]:
        """Which of some ids the tables have."""
        table, column = _TABLES[kind]
        if not ids or table not in self._reader.by_name:
            return frozenset()
        batches = self._reader.read(table, (column,), Among(column, ids))
        return frozenset(id_ for batch in batches for id_ in batch.column(0).to_pylist())

    def _owners(self) -> Iterator[Owner]:
        """Everything that can own files, in the order of `OWNER_KINDS` and of ids."""
        experiments = dict(rows_of(self._reader, "experiments", _EXPERIMENT))
        yield from self._logged_models(experiments)
        yield from self._model_versions()
        if self._with_orphans:
            yield from self.orphans()
        for run, uri, number in rows_of(self._reader, "runs", _RUN):
            yield _owner("run", run, uri, number, experiments)
        if "trace_tags" in self._reader.by_name:
            yield from self._traces(experiments)
            for trace, uri in self._tagged(_ARCHIVE_LOCATION):
                yield Owner("trace_archive", trace, uri, expects_files=True)

    def _logged_models(self, experiments: dict[int, str]) -> Iterator[Owner]:
        for model, uri, status, stage, number in rows_of(
            self._reader, "logged_models", _LOGGED_MODEL
        ):
            ready = status == _READY and stage != "deleted"
            yield _owner("logged_model", model, uri, number, experiments, expects_files=ready)

    def _model_versions(self) -> Iterator[Owner]:
        own = {
            version_owner_id(key): location.uri
            for key, location in locations_of(self._reader).items()
            if location.where is Where.OWN
        }
        for owner in sorted(own):
            yield Owner("model_version", owner, own[owner], expects_files=True)

    def _traces(self, experiments: dict[int, str]) -> Iterator[Owner]:
        lookup = SortedLookup(
            lambda: self._reader.read("trace_info", ("request_id", "experiment_id"))
        )
        for trace, uri in self._tagged(_TRACE_LOCATION):
            found = lookup.get(trace)
            yield _owner("trace", trace, uri, found[0] if found else None, experiments)

    def _tagged(self, key: str) -> Iterator[tuple[str, str]]:
        """Trace ids with the value of a tag."""
        among = Among("key", (key,))
        for batch in self._reader.read("trace_tags", ("request_id", "value"), among):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _id_bytes(owner: Owner) -> bytes:
    return owner.id.encode()


_EXPERIMENT = ("experiment_id", "artifact_location")
_RUN = ("run_uuid", "artifact_uri", "experiment_id")
_LOGGED_MODEL = ("model_id", "artifact_location", "status", "lifecycle_stage", "experiment_id")


_TABLES = {
    "run": ("runs", "run_uuid"),
    "logged_model": ("logged_models", "model_id"),
    "trace": ("trace_info", "request_id"),
}


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


def _orphans_note(folders: int) -> str:
    is_one = folders == 1
    return (
        f"{folders} folder{' holds' if is_one else 's hold'} files that no row points to: "
        f"`mlporter inspect` lists {'it' if is_one else 'them'}, --orphans carries "
        f"{'it' if is_one else 'them'}."
    )
