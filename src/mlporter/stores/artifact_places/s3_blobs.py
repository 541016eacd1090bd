"""Contents of bundles and repositories that S3 copies itself, to where their hash says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.contents.packs import SMALL
from mlporter.bundle.contents.taking import Taken
from mlporter.stores.artifact_places.portable import StoredPlace
from mlporter.stores.artifact_places.s3_copies import OtherwiseNowError, copy_by_store

if TYPE_CHECKING:
    from mlporter.artifacts.places import WholeObject
    from mlporter.bundle.contents.taking import Blobs, Taker

__all__ = ["may_be_copied", "take_by_storage"]


def may_be_copied(size: int) -> bool:
    """Whether a file of so many bytes lies alone, and not in a pack."""
    return size >= SMALL


def take_by_storage(whole: WholeObject, taker: Taker) -> Taken | None:
    """A content that the storage copied, or that was there; None if it is to be read.

    Only what S3 has stored a SHA-256 of all bytes with: that is its name.

    Raises:
        ReadBackError: something else was copied, and could not be removed.
    """
    blobs: Blobs = taker.blobs
    there = blobs.whole("")
    if there is None:
        return None
    place = StoredPlace(f"s3://{there.bucket}", there.prefix).opened()
    copy = copy_by_store(place.repository, place.prefix, "", whole, is_artifact=False)
    if copy is None:
        return None

    def key_of(sha256: str) -> str:
        found = blobs.whole(sha256)
        return found.key if found else ""

    try:
        made = copy.made_under_its_name(key_of, blobs.has)
    except OtherwiseNowError:
        return None
    if made is None:
        return None
    return Taken(made.sha256, made.size, None, made.created, made.by_storage)
