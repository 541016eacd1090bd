"""The artifact files of a registry in a database, or in a folder that reads as one."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.artifacts.moved_artifacts import ArtifactsBeside, MovedArtifacts
from mlporter.artifacts.orphan_folders import find_orphans, here_path, here_token
from mlporter.artifacts.places import LocalPlace, Place
from mlporter.artifacts.scan import Owner, find_outside, scan_owners
from mlporter.artifacts.uris.allowed_hosts import Hosts
from mlporter.artifacts.uris.ownership import Where
from mlporter.artifacts.uris.uri_text import UriMap
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.errors import LeftOut, UnreachableError
from mlporter.stores.addresses.environment import PROCESS, TRACKING_URI, Environment
from mlporter.stores.artifact_places.places import Places, open_local
from mlporter.stores.artifact_places.recorded_files import (
    EXPERIMENT_PLACES,
    READY,
    TRACE_LOCATION,
    StoreFiles,
    recorded_places,
    recorded_roots,
)
from mlporter.stores.protocols import Among, only_orphans
from mlporter.stores.rows.version_locations import locations_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from mlporter.artifacts.uris.allowed_folders import Roots
    from mlporter.stores.protocols import ArtifactFile, Keep, Report
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["DatabaseFiles"]

_HISTORY = "mlflow.log-model.history"
"""The tag of a run that logged a model, before MLflow 3."""


class DatabaseFiles(StoreFiles):
    """Lists and opens the files of every owner that the tables name.

    Args:
        reader: The tables.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        workers: How many places are listed at a time.
        allowed: Folders that the user named: files may be read from there, too.
        own: Folders that are the store's own because of where it is.
        base: What relative URIs are relative to; None for the current directory.
        beside: The folder where files are looked for that are not where they were recorded.
        environment: The variables by which stores are reached.
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
        reader: TableReader,
        uri_map: tuple[str, ...] = (),
        workers: int = 4,
        *,
        allowed: tuple[Path, ...] = (),
        own: tuple[Path, ...] = (),
        base: Path | None = None,
        beside: Path | None = None,
        environment: Environment = PROCESS,
        orphans: bool = False,
        homes: tuple[tuple[str, Path], ...] = (),
        folders: Mapping[tuple[str, str], Path] = MappingProxyType({}),
    ) -> None:
        super().__init__(reader, self._place, self._check_place, workers)
        self._tables = frozenset(table.name for table in reader.tables)
        self._with_orphans = orphans
        self._homes = homes
        self._folders = folders
        self._base = base
        self._environment = environment
        self._pairs = UriMap.parse(uri_map)
        self._named = (*allowed, *own, *self._pairs.folders(base))
        self._places = Places(
            base=base,
            uri_map=self._pairs,
            roots=lambda: self._roots,
            hosts=self._hosts,
            environment=environment,
        )
        self._folder = beside
        self._beside = ArtifactsBeside(beside, self._known) if beside is not None else None
        shows_files = lru_cache(1)(self._shows_files)
        self._moved = MovedArtifacts(self._beside, self._pairs, folders, shows_files)
        self._unseen: dict[str, LeftOut] = {}
        self._tracking: TableReader | None = None
        self.notes: tuple[str, ...] = ()

    def share_roots(self, tracking: TableReader) -> None:
        """Files lie in the roots of another place, too: that of a registry's runs."""
        self._tracking = tracking

    @cached_property
    def _roots(self) -> Roots:
        """What may be read of what rows name."""
        roots = recorded_roots(self._reader, self._named, self._pairs, self._base)
        if self._tracking is None:
            return roots
        return roots.and_those(recorded_roots(self._tracking, (), self._pairs, self._base))

    def _hosts(self) -> Hosts:
        """What may be asked of what rows name."""
        readers = filter(None, (self._reader, self._tracking))
        recorded = (place for reader in readers for place in recorded_places(reader, self._pairs))
        return Hosts.of(
            None, self._pairs.targets, recorded, tracking=self._environment.get(TRACKING_URI)
        )

    @cached_property
    def _roots_here(self) -> Roots:
        """What may be read of what was found by ids in the store's own folder."""
        return self._roots.with_named(self._folder) if self._folder else self._roots

    def scan(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every file, by owner kind, owner id and path; what cannot be found goes to `report`."""
        self._unseen.clear()
        owners = iter(self._strangers()) if keep is only_orphans else self._wanted(keep)
        yield from scan_owners(
            owners, self._place, report, self._workers, self._moved, self._places.absent
        )
        if self._with_orphans:
            for item in self._unseen.values():
                report(item)
        is_told = self._with_orphans or keep is not None
        orphans = 0 if is_told else len(self.orphans())
        unseen = 0 if is_told else len(self._unseen)
        self.notes = (*self._moved.notes, *_orphans_notes(orphans, unseen))

    def _strangers(self) -> Iterable[Owner]:
        return self.orphans() if self._with_orphans else ()

    def _place(self, uri: str) -> Place:
        path = here_path(uri)
        return self._places.open(uri) if path is None else open_local(path, self._roots_here)

    def _check_place(self, uri: str) -> None:
        if here_path(uri) is None:
            self._places.check(uri)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root, and whose files are not beside either."""
        owners = self._known_owners()
        return find_outside(owners, self._check_place, self._moved, self._has_files)

    def _has_files(self, uri: str) -> bool:
        with suppress(UnreachableError):
            return self._place(uri).exists()
        return False

    def orphans(self) -> list[Owner]:
        """Folders of files that no row points to; those that cannot be looked at are noted."""
        recorded = list(self._experiments_here())
        beside, lost = self._beside, self._note_unseen
        found = (
            beside.orphans(recorded, lost, is_empty=self._is_empty())
            if beside
            else find_orphans(recorded, self._known, lost)
        )
        if self._homes:
            found += find_orphans(self._homes, self._known, lost, described=True)
            taken = {here_token(folder) for folder in self._folders.values()}
            mine = {owner.id: owner for owner in found if owner.uri not in taken}
            found = sorted(mine.values(), key=_id_bytes)
        return found

    def _note_unseen(self, label: str, error: UnreachableError) -> None:
        detail = f"it is not known whether files that no row points to are there: {error}"
        name = label.rstrip("/") or "."
        self._unseen[str(error)] = LeftOut("orphan", name, "", "unreachable", detail)

    def _is_empty(self) -> bool:
        """Whether the tables name no owner of files."""
        kinds = (FILE_OWNERS[kind] for kind in _IN_FOLDERS)
        owners = (rows_of(self._reader, kind.table, (kind.key,)) for kind in kinds)
        return not any(True for rows in owners for _ in rows)

    def _shows_files(self) -> bool:
        """Whether anything in the tables shows that files were ever logged."""
        models = rows_of(self._reader, "logged_models", ("status",))
        versions = locations_of(self._reader).values()
        return (
            any(status == READY for (status,) in models)
            or any(location.where is not Where.NONE for location in versions)
            or any(batch.num_rows for batch in self._tagged_runs())
            or any(True for _ in self._tagged(TRACE_LOCATION))
        )

    def _tagged_runs(self) -> Iterator[pa.RecordBatch]:
        return self._reader.read("tags", ("run_uuid",), Among("key", (_HISTORY,)))

    def _experiments_here(self) -> Iterator[tuple[str, Path]]:
        """The local folders of experiments, where they were recorded."""
        for experiment, uri in rows_of(self._reader, "experiments", EXPERIMENT_PLACES):
            with suppress(UnreachableError):  # elsewhere: its owners' entries say so
                place = self._places.open(uri) if uri else None
                if isinstance(place, LocalPlace) and self._is_here(place, f"{experiment}/"):
                    yield f"{experiment}/", place.root

    def _is_here(self, place: LocalPlace, label: str) -> bool:
        try:
            return place.exists()
        except UnreachableError as error:
            self._note_unseen(label, error)
            return False

    def _known(self, kind: str, ids: tuple[str, ...]) -> frozenset[str]:
        """Which of some ids the tables have."""
        table, column = FILE_OWNERS[kind].table, FILE_OWNERS[kind].key
        if not ids or table not in self._tables:
            return frozenset()
        batches = self._reader.read(table, (column,), Among(column, ids))
        return frozenset(id_ for batch in batches for id_ in batch.column(0).to_pylist())


def _id_bytes(owner: Owner) -> bytes:
    return owner.id.encode()


_IN_FOLDERS = ("run", "logged_model", "trace")
"""Owners whose files MLflow keeps in a folder of their name."""


def _orphans_notes(folders: int, unseen: int) -> Iterator[str]:
    is_one = folders == 1
    if folders:
        yield (
            f"{folders} folder{' holds' if is_one else 's hold'} files that no row points to: "
            f"`mlporter inspect` lists {'it' if is_one else 'them'}, --orphans copies "
            f"{'it' if is_one else 'them'}."
        )
    if unseen:
        yield (
            f"{unseen} folder{' was' if unseen == 1 else 's were'} not looked through for files "
            "that no row points to, and cannot be: `mlporter inspect` says why."
        )
