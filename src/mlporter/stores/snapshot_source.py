"""A snapshot of a repository as a place to read from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.repository.repository import choose
from mlporter.stores.bundle_source import BundleSource

if TYPE_CHECKING:
    from mlporter.repository.repository import Repository
    from mlporter.stores.protocols import Description

__all__ = ["SnapshotSource"]


class SnapshotSource(BundleSource):
    """Reads a snapshot; implements `mlporter.stores.protocols.Source`."""

    def __init__(self, repository: Repository, wanted: str) -> None:
        """Open the snapshot that `wanted` names; the repository is closed with it.

        Raises:
            UsageError: the repository has no such snapshot.
            BundleDamagedError: a document of it is damaged.
            UnsupportedError: it is of a later format.
            UnreachableError: it cannot be read.
        """
        where = repository.storage.name
        try:
            self.snapshot = choose(repository.snapshots(), wanted, where)
            manifest = repository.manifest(self.snapshot)
            repository.load_index()
        except BaseException:
            repository.close()
            raise
        self._repository = repository
        self._address = where
        self._use(manifest, repository.parts, repository.contents)

    @property
    def description(self) -> Description:
        """What and where it is."""
        return replace(super().description, address=f"{self._address}@{self.snapshot.name}")

    def close(self) -> None:
        """Free temporary space."""
        self._repository.close()
