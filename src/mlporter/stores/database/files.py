"""The artifact files of a registry in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.artifacts.uris import UriMap
from mlporter.stores.address import AddressKind
from mlporter.stores.files import StoreFiles
from mlporter.stores.places import Places

if TYPE_CHECKING:
    from pathlib import Path

    from mlporter.stores.database.source import DatabaseReader

__all__ = ["database_files"]


def database_files(
    reader: DatabaseReader, uri_map: tuple[str, ...] = (), workers: int = 4
) -> StoreFiles:
    """The files behind the URIs that a database holds."""
    places = Places(base=_base(reader), uri_map=UriMap.parse(uri_map))
    return StoreFiles(reader, places.open, workers)


def _base(reader: DatabaseReader) -> Path | None:
    """What relative artifact URIs are relative to: the folder of an SQLite file."""
    address = reader.address
    if address.kind is AddressKind.SQLITE and address.path is not None:
        return address.path.absolute().parent
    return None
