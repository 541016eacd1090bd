"""Where model versions point, as whose files they are: comparable between two places.

The URI of a version says where its files lie in one registry. What must be the same in another
is whose files they are: `logged_model m-1, path ""` is the same model wherever its root is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.artifacts.uris.ownership import FileOwner, find_file_owners
from mlporter.stores.rows.version_locations import owner_roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.compare.rows.shape import Normalise
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["OWN_FILES", "anchored_places", "anchored_text"]

OWN_FILES = "(files of its own)"
"""What a place is compared as that lies in no run's and no logged model's root."""

_BY_NAME = ("runs:/", "models:/")


def anchored_places(source: TableReader, table: Table) -> Normalise:
    """A normaliser that replaces the places in `table` by whose files they are.

    Reads the places of the table, then streams the roots of runs and logged models past them:
    memory grows with the number of places (model versions), not of runs.
    """
    places = tuple(place.column for place in table.places if place.column in table.by_name)
    file_owners = (
        find_file_owners(_uris(source, table.name, places), owner_roots(source)) if places else {}
    )

    def replace_places(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:  # noqa: ARG001
        for name in places:
            index = batch.schema.names.index(name)
            texts = [anchored_text(uri, file_owners) for uri in batch.column(index).to_pylist()]
            field = batch.schema.field(name)
            batch = batch.set_column(index, field, pa.array(texts, field.type))
        return batch

    return replace_places


def anchored_text(uri: str | None, file_owners: dict[str, FileOwner]) -> str | None:
    """What a place is compared as: its owner and the path below, or that it has an own place.

    `runs:/…` and `models:/…` name what they mean and stay, as do texts that are no place at all
    (`dummy-source`).
    """
    if not uri or uri.startswith(_BY_NAME):
        return uri
    file_owner = file_owners.get(uri)
    if file_owner is not None:
        return f"{file_owner.owner_kind}:{file_owner.owner_id}/{file_owner.rest}"
    is_place = any(mark in uri for mark in "/\\:")
    return OWN_FILES if is_place else uri


def _uris(source: TableReader, table: str, places: tuple[str, ...]) -> Iterator[str]:
    for batch in source.read(table, places):
        for column in batch.columns:
            yield from (uri for uri in column.to_pylist() if uri and not uri.startswith(_BY_NAME))
