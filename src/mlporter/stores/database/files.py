"""The artifact files of a registry in a database, or in a folder that reads as one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.artifacts.beside import Beside, Moved, here_path, here_token, strays
from mlporter.artifacts.places import LocalPlace, Place
from mlporter.artifacts.scan import Owner, scan_owners
from mlporter.artifacts.uris import UriMap
from mlporter.errors import UnreachableError
from mlporter.stores.environment import PROCESS, Environment
from mlporter.stores.files import EXPERIMENT_PLACES, StoreFiles
from mlporter.stores.places import Places
from mlporter.stores.protocols import Among, only_orphans
from mlporter.stores.versions import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from mlporter.stores.protocols import ArtifactFile, Keep, Report
    from mlporter.stores.versions import TableReader

__all__ = ["DatabaseFiles"]


class DatabaseFiles(StoreFiles):
    """Lists and opens the files of every owner that the tables name.

    Args:
        reader: The tables.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        workers: How many places are listed at a time.
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
        base: Path | None = None,
        beside: Path | None = None,
        environment: Environment = PROCESS,
        orphans: bool = False,
        homes: tuple[tuple[str, Path], ...] = (),
        folders: Mapping[tuple[str, str], Path] = MappingProxyType({}),
    ) -> None:
        super().__init__(reader, self._place, workers)
        self._tables = frozenset(table.name for table in reader.tables)
        self._with_orphans = orphans
        self._homes = homes
        self._folders = folders
        pairs = UriMap.parse(uri_map)
        self._places = Places(base=base, uri_map=pairs, environment=environment)
        self._beside = Beside(beside, self._known) if beside is not None else None
        self._moved = Moved(self._beside, pairs)
        self.notes: tuple[str, ...] = ()

    def scan(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every file, by owner kind, owner id and path; what cannot be found goes to `report`."""
        owners = self._wanted(keep)
        if keep is only_orphans:
            owners = iter(self._strangers())
        owners = map(self._at_home, owners)
        yield from scan_owners(owners, self._place, report, self._workers, self._moved)
        is_told = self._with_orphans or keep is not None
        orphans = 0 if is_told else len(self.orphans())
        self.notes = (*self._moved.notes, *([_orphans_note(orphans)] if orphans else []))

    def _strangers(self) -> Iterable[Owner]:
        return self.orphans() if self._with_orphans else ()

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
        found = (
            beside.orphans(recorded, is_empty=self._is_empty())
            if beside
            else strays(recorded, self._known)
        )
        if self._homes:
            found += strays(self._homes, self._known, described=True)
            taken = {here_token(folder) for folder in self._folders.values()}
            mine = {owner.id: owner for owner in found if owner.uri not in taken}
            found = sorted(mine.values(), key=_id_bytes)
        return found

    def _is_empty(self) -> bool:
        """Whether the tables name no owner of files."""
        owners = (rows_of(self._reader, table, (key,)) for table, key in _TABLES.values())
        return not any(True for rows in owners for _ in rows)

    def _experiments_here(self) -> Iterator[tuple[str, Path]]:
        """The local folders of experiments, where they were recorded."""
        for experiment, uri in rows_of(self._reader, "experiments", EXPERIMENT_PLACES):
            with suppress(UnreachableError):
                place = self._places.open(uri) if uri else None
                if isinstance(place, LocalPlace) and place.exists():
                    yield f"{experiment}/", place.root

    def _known(self, kind: str, ids: tuple[str, ...]) -> frozenset[str]:
        """Which of some ids the tables have."""
        table, column = _TABLES[kind]
        if not ids or table not in self._tables:
            return frozenset()
        batches = self._reader.read(table, (column,), Among(column, ids))
        return frozenset(id_ for batch in batches for id_ in batch.column(0).to_pylist())


def _id_bytes(owner: Owner) -> bytes:
    return owner.id.encode()


_TABLES = {
    "run": ("runs", "run_uuid"),
    "logged_model": ("logged_models", "model_id"),
    "trace": ("trace_info", "request_id"),
}


def _orphans_note(folders: int) -> str:
    is_one = folders == 1
    return (
        f"{folders} folder{' holds' if is_one else 's hold'} files that no row points to: "
        f"`mlporter inspect` lists {'it' if is_one else 'them'}, --orphans carries "
        f"{'it' if is_one else 'them'}."
    )
