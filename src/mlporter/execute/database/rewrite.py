"""Artifact URIs of a registry, rewritten to the target's root, or to where its files are.

The target's layout is MLflow's own (`mlporter.artifacts.uris.layout`), so a run, a logged model or
a trace gets its new place from its ids alone; a model version follows the run or logged model in
which its files lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.artifacts.uris import layout
from mlporter.artifacts.uris.ownership import Location, VersionKey, Where, find_file_owners
from mlporter.artifacts.uris.uri_text import uri_below
from mlporter.catalogue.tables.own import skill_owner_id
from mlporter.stores.rows.other_places import OTHER, new_places, other_owner, other_places
from mlporter.stores.rows.skill_places import skill_places
from mlporter.stores.rows.spool import SortedLookup
from mlporter.stores.rows.version_locations import locations_of, owner_roots, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlporter.artifacts.uris.ownership import FileOwner
    from mlporter.artifacts.uris.uri_text import UriMap
    from mlporter.catalogue.types import Place, Table
    from mlporter.stores.protocols import Source

__all__ = ["Remap", "Rewrite"]

_TRACE_PLACES = {
    "mlflow.artifactLocation": "trace",
    "mlflow.trace.archiveLocation": "trace_archive",
}
"""Trace tags that hold a place, and the kind of owner whose place it is."""


PlacesThere = Callable[[str, frozenset[str]], Mapping[str, str]]
"""From a kind of owner (``run``, ``logged_model``) and ids to where the target has their files, of
those that it has already."""


class Rewrite:
    """New places for everything that `source` holds, below `root`.

    What a target in use has already lies where it lies there (`places_there`), which may be
    anywhere: a model version that points into it must find it.
    """

    def __init__(
        self, source: Source, root: str, places_there: PlacesThere = lambda _kind, _ids: {}
    ) -> None:
        self._source = source
        self._places_there = places_there
        self.root = layout.normalise_root(root)
        self._handlers: dict[str, Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]]
        self._handlers = {
            "workspaces": self._workspaces,
            "experiments": self._experiments,
            "runs": self._runs,
            "logged_models": self._logged_models,
            "trace_tags": self._trace_tags,
            "model_versions": self._model_versions,
            "skill_versions": self._skill_versions,
        }

    def apply(self, table: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of a table with their places rewritten."""
        handler = self._handlers.get(table.name)
        rewritten = handler(batches) if handler else batches
        places = new_places(table)
        return self._others(table, places, rewritten) if places else rewritten

    def look(self) -> None:
        """Ask now where the target has files, while it can be asked: once, for all versions."""
        _ = self._anchored, self._other

    def workspace_roots(self) -> set[str]:
        """Where the experiments of each workspace lie."""
        names = {name for (name,) in rows_of(self._source, "workspaces", ("name",))}
        names.add(layout.DEFAULT_WORKSPACE)
        return {layout.workspace_root(self.root, name) for name in names}

    def owner_root(self) -> Callable[[str, str], str]:
        """A function from owner (kind, id) to its new root, to be asked in sorted order."""
        find = {
            "run": (self._lookup("runs", "run_uuid"), layout.run_root),
            "logged_model": (self._lookup("logged_models", "model_id"), layout.logged_model_root),
            "trace": (self._lookup("trace_info", "request_id"), layout.trace_root),
            "trace_archive": (
                self._lookup("trace_info", "request_id"),
                layout.trace_archive_root,
            ),
        }

        def root_of(kind: str, owner: str) -> str:
            if kind == "orphan":
                return layout.orphan_root(self.root, owner)
            if kind == OTHER:
                return layout.other_root(self.root, owner)
            if kind == "model_version":
                workspace, _, rest = owner.partition("/")
                name, _, version = rest.rpartition("/")
                return layout.version_root(self.root, name, version, workspace)
            if kind == "skill_version":
                return self._skill_roots[owner]
            lookup, place = find[kind]
            found = lookup().get(owner)
            return place(self._experiment_root(found[0] if found else "unknown"), owner)

        return root_of

    def _experiment_root(self, experiment: object) -> str:
        """Where an experiment lies; also one that is not there, as SQLite checks no reference."""
        known = self._experiment_roots.get(experiment)
        return known or layout.experiment_root(self.root, str(experiment))

    def _lookup(self, table: str, key: str) -> Callable[[], SortedLookup]:
        opened: list[SortedLookup] = []

        def once() -> SortedLookup:
            if not opened:
                columns = (key, "experiment_id")
                opened.append(SortedLookup(lambda: self._source.read(table, columns)))
            return opened[0]

        return once

    @cached_property
    def _experiment_roots(self) -> dict[object, str]:
        """New artifact location of each experiment."""
        return {
            experiment: layout.experiment_root(
                self.root, experiment, workspace or layout.DEFAULT_WORKSPACE
            )
            for experiment, workspace in rows_of(
                self._source, "experiments", ("experiment_id", "workspace")
            )
        }

    def _workspaces(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            roots = [
                layout.workspace_root(self.root, name) if old else old
                for name, old in _columns(batch, "name", "default_artifact_root")
            ]
            yield _with(batch, "default_artifact_root", roots)

    def _experiments(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            roots = [
                self._experiment_roots[experiment] if old else old
                for experiment, old in _columns(batch, "experiment_id", "artifact_location")
            ]
            yield _with(batch, "artifact_location", roots)

    def _owned(
        self,
        batches: Iterator[pa.RecordBatch],
        key: str,
        column: str,
        place: Callable[[str, str], str],
    ) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            roots = [
                place(self._experiment_root(experiment), owner) if old else old
                for owner, experiment, old in _columns(batch, key, "experiment_id", column)
            ]
            yield _with(batch, column, roots)

    def _runs(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self._owned(batches, "run_uuid", "artifact_uri", layout.run_root)

    def _logged_models(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self._owned(batches, "model_id", "artifact_location", layout.logged_model_root)

    def _trace_tags(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        root_of = self.owner_root()
        for batch in batches:
            values = [
                root_of(_TRACE_PLACES[key], trace) if key in _TRACE_PLACES and old else old
                for trace, key, old in _columns(batch, "request_id", "key", "value")
            ]
            yield _with(batch, "value", values)

    def _model_versions(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            keys = list(_columns(batch, "workspace", "name", "version"))
            rewritten = batch
            for column in ("source", "storage_location"):
                old = batch.column(batch.schema.get_field_index(column)).to_pylist()
                new = [
                    self._version_place(key, uri) if uri else uri
                    for key, uri in zip(keys, old, strict=True)
                ]
                rewritten = _with(rewritten, column, new)
            yield rewritten

    def _others(
        self, table: Table, columns: tuple[str, ...], batches: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """URIs in columns that the catalogue does not know."""
        for batch in batches:
            keys = list(_columns(batch, *table.order))
            rewritten = batch
            for column in columns:
                old = batch.column(batch.schema.get_field_index(column)).to_pylist()
                owners = [other_owner(table.name, column, key) for key in keys]
                new = [self._other.get(o, uri) for o, uri in zip(owners, old, strict=True)]
                rewritten = _with(rewritten, column, new)
            yield rewritten

    @cached_property
    def _other(self) -> dict[str, str]:
        """New URIs of such columns, by owner."""
        found = list(other_places(self._source))
        named = [place.file_owner for place in found if place.file_owner is not None]
        root_of, there = self.owner_root(), self._owners_there(named)
        new = {p.owner: root_of(OTHER, p.owner) for p in found if p.file_owner is None}
        for place in sorted(found, key=lambda p: _owner_key(p.file_owner)):
            if place.file_owner is not None:
                owner = _owner_key(place.file_owner)
                root = there.get(owner) or root_of(*owner)
                new[place.owner] = uri_below(root, place.file_owner.rest)
        return new

    def _version_place(self, key: VersionKey, uri: str) -> str:
        """The new form of a version's URI; one that names an id and no place stays as it is."""
        if uri.startswith(("runs:/", "models:/")):
            return uri
        if anchored := self._anchored.get(uri):
            return anchored
        location = self.locations.get(key)
        if location is not None and location.where is Where.OWN and location.uri == uri:
            workspace, name, version = key
            return layout.version_root(self.root, name, version, workspace)
        return uri

    def _skill_versions(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            names = ("workspace", "organization", "name", "version", "source_type", "source")
            sources = [
                self._skill_place(skill_owner_id(workspace, *key), uri)
                if kind == "mlflow" and uri
                else uri
                for workspace, *key, kind, uri in _columns(batch, *names)
            ]
            yield _with(batch, "source", sources)

    def _skill_place(self, owner: str, uri: str) -> str:
        """The new form of the place of a skill's files; they may be those of a run."""
        return self._anchored.get(uri) or self._skill_roots.get(owner, uri)

    @cached_property
    def _skill_roots(self) -> dict[str, str]:
        """New places of versions of skills, by owner id."""
        return {
            owner: layout.skill_root(
                self.root, place.organization, place.name, place.folder, place.workspace
            )
            for owner, place in skill_places(self._source).items()
        }

    @cached_property
    def locations(self) -> dict[VersionKey, Location]:
        """Where the files of every model version lie in the source."""
        return locations_of(self._source)

    @cached_property
    def _anchored(self) -> dict[str, str]:
        """New URIs for those of versions that lie in a run or a logged model."""
        uris = {
            str(uri)
            for row in rows_of(self._source, "model_versions", ("source", "storage_location"))
            for uri in row
            if uri
        }
        skills = rows_of(self._source, "skill_versions", ("source_type", "source"))
        uris |= {uri for kind, uri in skills if kind == "mlflow" and uri}
        file_owners = find_file_owners(uris, owner_roots(self._source))
        root_of, there = self.owner_root(), self._owners_there(file_owners.values())
        new = {}
        for uri, file_owner in sorted(
            file_owners.items(), key=lambda item: (item[1].owner_kind, item[1].owner_id)
        ):
            owner = (file_owner.owner_kind, file_owner.owner_id)
            place = there.get(owner) or root_of(*owner)
            new[uri] = uri_below(place, file_owner.rest) if file_owner.rest else place
        return new

    def _owners_there(self, file_owners: Iterable[FileOwner]) -> dict[tuple[str, str], str]:
        """Where the target has the files of owners that it has already."""
        owners: dict[str, set[str]] = {}
        for file_owner in file_owners:
            owners.setdefault(file_owner.owner_kind, set()).add(file_owner.owner_id)
        return {
            (kind, owner): place
            for kind, ids in owners.items()
            for owner, place in self._places_there(kind, frozenset(ids)).items()
        }


def _owner_key(owner: FileOwner | None) -> tuple[str, str]:
    return ("", "") if owner is None else (owner.owner_kind, owner.owner_id)


def _columns(batch: pa.RecordBatch, *names: str) -> Iterable[tuple[Any, ...]]:
    lists = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
    return zip(*lists, strict=True)


def _with(batch: pa.RecordBatch, name: str, values: Sequence[object]) -> pa.RecordBatch:
    index = batch.schema.get_field_index(name)
    field = batch.schema.field(index)
    return batch.set_column(index, field, pa.array(values, field.type))


class Remap:
    """New places for everything that lies in a FROM of `uri_map`; no file is touched.

    Which columns and tags hold a place, the catalogue says.
    """

    def __init__(self, uri_map: UriMap) -> None:
        self._map = uri_map

    def apply(self, table: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of a table with their places rewritten."""
        for batch in batches:
            changed = batch
            for place in table.places:
                changed = self._remapped(changed, place)
            yield changed

    def _remapped(self, batch: pa.RecordBatch, place: Place) -> pa.RecordBatch:
        names = batch.schema.names
        if place.column not in names or (place.where and place.where[0] not in names):
            return batch
        index = batch.schema.get_field_index(place.column)
        field = batch.schema.field(index)
        old = batch.column(index).to_pylist()
        is_place = [True] * len(old)
        if place.where is not None:
            column, word = place.where
            is_place = [value == word for value in batch.column(column).to_pylist()]
        new = [
            self._map.apply(uri) if uri and here else uri
            for uri, here in zip(old, is_place, strict=True)
        ]
        return batch if new == old else batch.set_column(index, field, pa.array(new, field.type))
