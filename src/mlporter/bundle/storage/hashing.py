"""The hash of an object as it is stored, without a copy of it on this machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlporter.bundle.folder.atomic import disk_errors
from mlporter.bundle.folder.files import CHUNK
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.bundle.storage.protocol import Storage

__all__ = ["hash_object"]

_PIECE = 8 << 20
"""Bytes of an object in object storage that are fetched at a time."""


def hash_object(storage: Storage, path: str, seen: Callable[[int], None]) -> str:
    """SHA-256 (hex) of an object, however large; `seen` gets the bytes of each piece.

    Raises:
        BundleDamagedError: it is not there.
        UnreachableError: it cannot be read.
    """
    digest = hashlib.sha256()
    is_fetched = storage.reads_parts and not storage.is_local
    for piece in _fetched(storage, path) if is_fetched else _read(storage, path):
        check()
        digest.update(piece)
        seen(len(piece))
    return digest.hexdigest()


def _fetched(storage: Storage, path: str) -> Iterator[bytes]:
    start = 0
    while piece := storage.read_range(path, start, _PIECE):
        yield piece
        start += len(piece)
        if len(piece) < _PIECE:
            return


def _read(storage: Storage, path: str) -> Iterator[bytes]:
    with storage.open(path) as file, disk_errors(path, "read"):
        while piece := file.read(CHUNK):
            yield piece
