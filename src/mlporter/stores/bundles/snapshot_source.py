"""A snapshot of a repository as a place to read from."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from mlporter.closing import closed_on_error
from mlporter.errors import BundleDamagedError, UnreachableError
from mlporter.repository.layout import snapshot_path
from mlporter.stores.bundles.bundle_source import BundleSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.artifacts.listing import ArtifactFile
    from mlporter.repository.repository import Repository
    from mlporter.stores.protocols import Among, Description

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
        with closed_on_error(repository):
            self.snapshot = repository.choose(wanted)
            manifest = repository.manifest(self.snapshot)
            repository.load_index()
        self._repository = repository
        self._address = where
        self._use(manifest, repository.parts, repository.contents)

    @property
    def description(self) -> Description:
        """What and where it is."""
        return replace(super().description, address=f"{self._address}@{self.snapshot.name}")

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table, as `BundleSource.read`.

        Raises:
            UnreachableError: the snapshot was forgotten meanwhile.
        """
        with self._missing_it():
            yield from super().read(table, columns, among)

    def open_file(self, file: ArtifactFile) -> BinaryIO:
        """The bytes of a file, as `BundleSource.open_file`.

        Raises:
            UnreachableError: the snapshot was forgotten meanwhile.
        """
        with self._missing_it():
            return super().open_file(file)

    @contextmanager
    def _missing_it(self) -> Iterator[None]:
        """Tell a snapshot that was forgotten from one that is damaged."""
        try:
            yield
        except BundleDamagedError as error:
            storage = self._repository.storage
            if storage.size(snapshot_path(self.snapshot.name)) is not None:
                raise
            raise UnreachableError(
                f"snapshot {self.snapshot.name} was forgotten while it was read",
                subject=storage.name,
                hint=f"mlporter snapshots {storage.name} lists those that are there",
            ) from error

    def close(self) -> None:
        """Free temporary space."""
        self._repository.close()
