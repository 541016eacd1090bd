"""A source as the target is to have it: with the target's own values where these stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_source import MappedSource
from mlporter.plan.units import OF_MODELS, Choice, Chosen
from mlporter.stores.protocols import Wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.plan.three_sides.row import Key
    from mlporter.stores.protocols import Among, Source

__all__ = ["AsDecided", "as_decided"]


class AsDecided(Wrapped):
    """A source in which rows have the target's values, or are missing, as it was decided.

    Args:
        inner: The source.
        kept: By table and key, the values of columns that stay; None where the target has no row.
        models: Registered models (workspace and name) that the target is not to have.
        silent: Runs and metrics (their keys) that get no points.
    """

    def __init__(
        self,
        inner: Source,
        kept: Mapping[str, Mapping[Key, dict[str, Any] | None]],
        models: frozenset[tuple[str, str]] = frozenset(),
        silent: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        super().__init__(inner)
        self._kept = {table: rows for table, rows in kept.items() if rows}
        self._models = models
        self._silent = silent
        self._by_name = {table.name: table for table in inner.tables}

    def count(self, table: str) -> int:
        """Rows of a table."""
        dropped = sum(row is None for row in self._kept.get(table, {}).values())
        if self._is_filtered(table):
            return sum(batch.num_rows for batch in self.read(table, self._by_name[table].order))
        return self.inner.count(table) - dropped

    def _is_filtered(self, table: str) -> bool:
        of_models = table in OF_MODELS and bool(self._models)
        return of_models or (table == "metrics" and bool(self._silent))

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        kept = self._kept.get(table, {})
        if not kept and not self._is_filtered(table):
            yield from self.inner.read(table, columns, among)
            return
        entry = self._by_name[table]
        names = columns or tuple(entry.schema.names)
        needed = tuple(dict.fromkeys((*names, *entry.order)))
        for batch in self.inner.read(table, needed, among):
            rows = self._decided(table, entry.order, batch, kept)
            if rows.num_rows:
                yield rows.select(list(names))

    def _decided(
        self,
        table: str,
        order: tuple[str, ...],
        batch: pa.RecordBatch,
        kept: Mapping[Key, dict[str, Any] | None],
    ) -> pa.RecordBatch:
        if table == "metrics" and self._silent:
            named = (batch.column(batch.schema.names.index(n)) for n in ("run_uuid", "key"))
            pairs = zip(*(column.to_pylist() for column in named), strict=True)
            keep = [pair not in self._silent for pair in pairs]
            return batch.filter(pa.array(keep, pa.bool_()))
        keys = list(zip(*(batch.column(batch.schema.names.index(n)).to_pylist() for n in order),
                        strict=True))  # fmt: skip
        at = {n for n, key in enumerate(keys) if key in kept}
        if not at and not self._is_filtered(table):
            return batch
        rows: list[dict[str, Any]] = []
        for number, row in enumerate(batch.to_pylist()):
            values = kept[keys[number]] if number in at else {}
            if values is None or self._is_gone(table, row):
                continue
            rows.append(row | {n: v for n, v in values.items() if n in row})
        return pa.RecordBatch.from_pylist(rows, schema=batch.schema)

    def _is_gone(self, table: str, row: Mapping[str, Any]) -> bool:
        if table not in OF_MODELS or not self._models:
            return False
        return (row.get("workspace") or "default", row["name"]) in self._models


def as_decided(
    source: Source,
    kept: Mapping[str, Mapping[Key, dict[str, Any] | None]],
    gone: Mapping[str, set[str]],
    silent: frozenset[tuple[str, str]],
) -> Source:
    """The source as the target is to have it.

    Args:
        source: The source.
        kept: See `AsDecided`.
        gone: Units (keys by table) that the target is not to have, with all that belongs to them.
        silent: Runs and metrics (their keys) that get no points.
    """
    models = frozenset(
        (key.split("\x1f")[0], key.split("\x1f")[1]) for key in gone.get("registered_models", ())
    )
    units = {
        kind: Chosen(frozenset(keys), without=True)
        for kind, keys in gone.items()
        if keys and kind != "registered_models"
    }
    decided: Source = source
    if units:
        decided = MappedSource(decided, IdMap(), Choice(units))
    if models or silent or any(kept.values()):
        decided = AsDecided(decided, kept, models, silent)
    return decided
