"""From the text of a place of objects to the place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import UnsupportedError
from mlporter.redaction import redact_address

if TYPE_CHECKING:
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["open_storage"]


def open_storage(place: str) -> Storage:
    """A folder of this machine, or a place in object storage.

    Raises:
        UnsupportedError: it is of a kind that this release does not know.
    """
    if "://" in place and not place.startswith("file://"):
        raise UnsupportedError("is no folder of this machine", subject=redact_address(place))
    return LocalStorage(Path(place.removeprefix("file://")))
