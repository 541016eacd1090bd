"""A bundle in object storage as a place to read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.bundle.contents.reading import PackedContents
from mlporter.bundle.contents.stored_blobs import StoredBlobs
from mlporter.bundle.documents.manifest import parse_manifest
from mlporter.bundle.folder.layout import MANIFEST, MAX_MANIFEST_BYTES
from mlporter.bundle.storage.bundle_place import check_there
from mlporter.bundle.storage.stored_parts import StoredParts
from mlporter.catalogue.tables.own import CONTENTS
from mlporter.stores.bundles.bundle_source import BundleSource

if TYPE_CHECKING:
    from mlporter.bundle.storage.protocol import Storage

__all__ = ["StoredBundle"]


class StoredBundle(BundleSource):
    """Reads a bundle in object storage; implements `mlporter.stores.protocols.Source`.

    Parts and blobs are downloaded as they are read, and packs once for the files that follow one
    another in them.
    """

    def __init__(self, storage: Storage) -> None:
        """Open it.

        Raises:
            UnreachableError: there is nothing, or it cannot be read.
            UsageError: it is not a bundle.
            BundleUnfinishedError: its export was interrupted.
            BundleInUseError: it is being written.
            BundleDamagedError: its manifest is not what the format says.
            UnsupportedError: it is of a later format version.
        """
        check_there(storage)
        data = storage.read(MANIFEST, MAX_MANIFEST_BYTES)
        manifest = parse_manifest(data, f"{storage.name}/{MANIFEST}")
        self._packed = PackedContents(storage, lambda: self.read(CONTENTS.name))
        contents = self._packed if manifest.has_packs else StoredBlobs(storage)
        self._use(manifest, StoredParts(storage), contents)
