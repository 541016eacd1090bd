"""Tracking in one place and registered models in another, read as one registry.

MLflow lets the two be apart (``--backend-store-uri`` and ``--registry-store-uri``). The files of a
model version mostly are those of a run or a logged model, which only the two together tell.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from mlporter.artifacts.uris.ownership import Where
from mlporter.catalogue.tables.registry import TABLES
from mlporter.errors import LeftOut
from mlporter.stores.protocols import SharesRoots, TellsOutside, Wrapped, elsewhere, only_orphans
from mlporter.stores.rows.filters import rows_among
from mlporter.stores.rows.unknown_fields import field_rows, sorted_fields
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import (
        Among,
        ArtifactFile,
        Description,
        Keep,
        Openable,
        Report,
        Source,
    )

__all__ = ["WithRegistry"]

_NAMES = frozenset(table.name for table in TABLES)
_WORKSPACES = "workspaces"
_VERSION = "model_version"


class WithRegistry(Wrapped):
    """A source with the registered models of another one in place of its own.

    Args:
        inner: Where experiments, runs and all the rest are.
        registry: Where the registered models are. It was opened first: then the runs of the
            versions that it shows are there, whatever goes on meanwhile.
    """

    def __init__(self, inner: Source, registry: Source) -> None:
        super().__init__(inner)
        self._registry = registry
        if isinstance(registry, SharesRoots):
            registry.share_roots(inner)
        theirs = {table.name: table for table in registry.tables if table.name in _NAMES}
        self._tables = tuple(
            theirs.pop(table.name) if table.name in theirs else table
            for table in inner.tables
            if table.name not in _NAMES or table.name in theirs
        )
        self._tables += tuple(theirs.values())

    @property
    def description(self) -> Description:
        """What and where it is: two states of two places are not one."""
        mine, theirs = self.inner.description, self._registry.description
        return replace(
            mine,
            registry=theirs.address,
            over_rest=mine.over_rest or theirs.over_rest,
            consistency="live",
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those of both."""
        return self._tables

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table in _NAMES:
            return self._registry.count(table)
        more = self._more_workspaces.num_rows if table == _WORKSPACES else 0
        return self.inner.count(table) + more

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table in _NAMES:
            return self._registry.read(table, columns, among)
        if table == _WORKSPACES and self._more_workspaces.num_rows:
            return self._all_workspaces(columns, among)
        return self.inner.read(table, columns, among)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """Fields of newer servers: of the registry's tables those of the registry."""
        mine = (row for row in field_rows(self.inner) if row[0] not in _NAMES)
        theirs = (row for row in field_rows(self._registry) if row[0] in _NAMES)
        yield from sorted_fields(chain(mine, theirs))

    @cached_property
    def _more_workspaces(self) -> pa.Table:
        """Workspaces that only the registry knows."""
        entry = next((table for table in self.inner.tables if table.name == _WORKSPACES), None)
        if entry is None or all(t.name != _WORKSPACES for t in self._registry.tables):
            return pa.table({})
        names = {name for (name,) in rows_of(self.inner, _WORKSPACES, ("name",))}
        rows = [
            row
            for batch in self._registry.read(_WORKSPACES)
            for row in batch.to_pylist()
            if row["name"] not in names
        ]
        return pa.Table.from_pylist(rows, entry.schema)

    def _all_workspaces(
        self, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        mine = pa.Table.from_batches(self.inner.read(_WORKSPACES), self._more_workspaces.schema)
        both = pa.concat_tables([mine, self._more_workspaces]).sort_by("name").to_batches()
        if among is not None:
            return rows_among(both, columns, among)
        return iter(both) if columns is None else (b.select(list(columns)) for b in both)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file; of a version only those that are no run's or logged model's."""
        if keep is only_orphans:
            yield from self.inner.files(report, keep)
            return

        def is_mine(kind: str, owner: str) -> bool:
            return kind != _VERSION and (keep is None or keep(kind, owner))

        def is_theirs(kind: str, owner: str) -> bool:
            return kind == _VERSION and owner in self._own and (keep is None or keep(kind, owner))

        has_versions = bool(self._counted(self.inner, "model_versions"))
        theirs = self._registry.files(report, is_theirs)
        is_due = True
        for file in self.inner.files(report, is_mine if has_versions else keep):
            if is_due and file.owner_kind > _VERSION:
                yield from theirs
                is_due = False
            yield file
        if is_due:
            yield from theirs

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root; of versions, the registry's own."""
        for source, is_registry in ((self.inner, False), (self._registry, True)):
            if isinstance(source, TellsOutside):
                for item in source.outside():
                    is_mine = item.id in self._own if item.kind == _VERSION else not is_registry
                    if is_mine and (item.kind == _VERSION) == is_registry:
                        yield item

    @cached_property
    def _own(self) -> frozenset[str]:
        """Versions whose files are no run's and no logged model's."""
        found = locations_of(self).items()
        return frozenset(version_owner_id(key) for key, at in found if at.where is Where.OWN)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return (self._registry if file.owner_kind == _VERSION else self.inner).open_file(file)

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them."""
        return elsewhere(self._registry if file.owner_kind == _VERSION else self.inner, file)

    def losses(self) -> Iterator[LeftOut]:
        """What of both cannot be read; and registered models that nobody asked for."""
        yield from self.inner.losses()
        for item in self._registry.losses():
            if item.kind in _NAMES or item.id in _NAMES:
                yield item
        for table in TABLES:
            if rows := self._counted(self.inner, table.name):
                place = self._registry.description.address
                count = "1 row" if rows == 1 else f"{rows} rows"
                sentence = f"{count}: registered models are taken from {place}"
                yield LeftOut("table", table.name, "", "other-registry", sentence, expected=True)

    @staticmethod
    def _counted(source: Source, table: str) -> int:
        return source.count(table) if any(t.name == table for t in source.tables) else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know: where the registered models are from, too."""
        place = self._registry.description.address
        said = f"Registered models, their versions and aliases are those of {place}."
        return (*self.inner.notes, *self._registry.notes, said)

    def close(self) -> None:
        """End both snapshots."""
        self._registry.close()
        self.inner.close()
