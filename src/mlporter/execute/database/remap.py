"""Artifact URIs of a registry, changed to where the files are already: a bucket got a new name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.artifacts.uris.uri_text import UriMap
    from mlporter.catalogue.types import Place, Table

__all__ = ["Remap"]


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
