"""Places of files as plain data, so that other processes open them by their own environment."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.places import LocalPlace, WholeObject
from mlporter.artifacts.uris.uri_text import scheme_of
from mlporter.redaction import redact
from mlporter.stores.addresses.environment import environment_of
from mlporter.stores.artifact_places.mlflow_place import MlflowPlace
from mlporter.stores.artifact_places.places import open_place
from mlporter.stores.artifact_places.s3_objects import object_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.artifacts.places import Place

__all__ = ["PlacedFile", "StoredPlace", "place_elsewhere"]

_PLACES = 256


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """A place in an object store, and the prefix of the variables by which it is reached.

    Whether it may be asked at all was settled where it was found.
    """

    address: str
    prefix: str

    def object_at(self, path: str) -> WholeObject | None:
        """One of its objects, as S3 might copy it itself; None in other stores."""
        if scheme_of(self.address) != "s3":
            return None
        return WholeObject(*object_at(self.address, path), self.prefix)

    def opened(self) -> MlflowPlace:
        """It, as this process opens it."""
        return _opened(self.address, self.prefix)


@lru_cache(_PLACES)
def _opened(address: str, prefix: str) -> MlflowPlace:
    place = open_place(address, environment=environment_of(prefix))
    if not isinstance(place, MlflowPlace):
        raise TypeError(f"{redact(address)} is no object store")
    return place


def place_elsewhere(place: Place) -> LocalPlace | StoredPlace | None:
    """A place for other processes; None if only this one may look there, or can.

    A folder is read without what links lead to outside of it: that is asked for here again.
    """
    if isinstance(place, LocalPlace):
        return place.elsewhere
    if isinstance(place, MlflowPlace) and place.prefix is not None:
        is_open = redact(place.address) == place.address
        return StoredPlace(place.address, place.prefix) if is_open else None
    return None


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file of a place; see `mlporter.stores.protocols.Openable`."""

    place: LocalPlace | StoredPlace
    path: str

    @property
    def folder(self) -> str:
        """The folder of this machine that it lies in, or ""."""
        return str(self.place.root) if isinstance(self.place, LocalPlace) else ""

    @property
    def whole(self) -> WholeObject | None:
        """The object that it is, in a bucket."""
        return None if isinstance(self.place, LocalPlace) else self.place.object_at(self.path)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes."""
        place = self.place if isinstance(self.place, LocalPlace) else self.place.opened()
        with place.open(self.path) as stream:
            yield stream
