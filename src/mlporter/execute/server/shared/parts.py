"""Parts of the two sides: what of a source is copied, and what of a server is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.plan.three_sides.keys import key_text
from mlporter.plan.units import OF_MODELS, is_among
from mlporter.stores.protocols import Wrapped
from mlporter.stores.server.table_families import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.plan.side_reader import Reader
    from mlporter.stores.protocols import Among, Source
    from mlporter.stores.server.source import ServerSource

__all__ = ["Matched", "Within"]

_MODEL: tuple[str, ...] = ("workspace", "name")
"""Columns that name a registered model."""


class Matched(Wrapped):
    """A source without the experiments and models that are left out, and without dead versions."""

    def __init__(
        self,
        inner: Source,
        experiments: frozenset[int],
        models: frozenset[tuple[str, str]],
        dead: frozenset[str],
    ) -> None:
        super().__init__(inner)
        self._dead = dead
        self._experiments = experiments
        self._wanted = models
        self._by_name = {table.name: table for table in inner.tables}

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table in OF_MODELS:
            asked = _MODEL
            asked += ("version",) if table.startswith("model_version") else ()
            wanted: Callable[[tuple[Any, ...]], bool] = self._has_model
        elif table in {"experiments", "experiment_tags"}:
            asked, wanted = ("experiment_id",), self._has_experiment
        else:
            yield from self.inner.read(table, columns, among)
            return
        names = columns or tuple(self._by_name[table].schema.names)
        yield from _where(self.inner, table, names, among, asked, wanted)

    def _has_model(self, key: tuple[Any, ...]) -> bool:
        model = (key[0] or "default", key[1])
        return model in self._wanted and key_text((*model, *key[2:])) not in self._dead

    def _has_experiment(self, key: tuple[Any, ...]) -> bool:
        return key[0] in self._experiments


class Within:
    """A server's tables, of some experiments and registered models only."""

    def __init__(
        self,
        server: ServerSource,
        experiments: frozenset[int],
        models: frozenset[tuple[str, str]],
    ) -> None:
        self._server = server
        self._experiments = experiments
        self._models = models

    @property
    def tables(self) -> tuple[Table, ...]:
        """The server's tables."""
        return self._server.tables

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        entry = next(entry for entry in self.tables if entry.name == table)
        if table in OF_MODELS:
            yield from self._of_models(entry, columns, among)
            return
        if "experiment_id" not in entry.by_name or table in ANYWHERE:
            yield from self._server.read(table, columns, among)
            return
        names = columns or tuple(entry.schema.names)
        needed = tuple(dict.fromkeys((*names, "experiment_id")))
        for batch in self._server.read(table, needed, among):
            ids = batch.column(batch.schema.get_field_index("experiment_id"))
            yield batch.filter(is_among(ids, self._experiments)).select(list(names))

    def _of_models(
        self, entry: Table, columns: tuple[str, ...] | None, among: Among | None
    ) -> Iterator[pa.RecordBatch]:
        names = columns or tuple(entry.schema.names)
        yield from _where(self._server, entry.name, names, among, _MODEL, self._has_model)

    def _has_model(self, key: tuple[Any, ...]) -> bool:
        return (key[0] or "default", key[1]) in self._models


def _where(  # noqa: PLR0917 -- what is read, and what of it is wanted
    reader: Reader,
    table: str,
    names: tuple[str, ...],
    among: Among | None,
    asked: tuple[str, ...],
    wanted: Callable[[tuple[Any, ...]], bool],
) -> Iterator[pa.RecordBatch]:
    """Some columns of the rows of which the values of other ones (`asked`) are wanted."""
    needed = tuple(dict.fromkeys((*names, *asked)))
    for batch in reader.read(table, needed, among):
        found = [batch.column(batch.schema.names.index(name)).to_pylist() for name in asked]
        keep = [wanted(key) for key in zip(*found, strict=True)]
        yield batch.filter(pa.array(keep, pa.bool_())).select(list(names))
