"""A source around another one: what it does not change goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.stores.protocols import SharesRoots, TellsOutside
from mlporter.stores.rows.version_locations import known_roots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    import pyarrow as pa

    from mlporter.artifacts.uris.ownership import Root
    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import Among, ArtifactFile, Description, Keep, Report, Source

__all__ = ["Wrapped"]


class Wrapped:
    """Another source, as it is. Those that change something inherit the rest from here."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    @property
    def description(self) -> Description:
        """What and where it is."""
        return self.inner.description

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return self.inner.tables

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self.inner.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        return self.inner.read(table, columns, among)

    def share_roots(self, tracking: Source) -> None:
        """Read files also where another place keeps them, if it can."""
        if isinstance(self.inner, SharesRoots):
            self.inner.share_roots(tracking)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root, if it can tell."""
        if isinstance(self.inner, TellsOutside):
            yield from self.inner.outside()

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file, or those of the owners that `keep` wants."""
        return self.inner.files(report, keep)

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self.inner.open_file(file)

    def losses(self) -> Iterator[LeftOut]:
        """What its tables hold and cannot be read."""
        return self.inner.losses()

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return self.inner.notes

    @property
    def known_roots(self) -> tuple[Root, ...]:
        """Roots that it knows of others."""
        return known_roots(self.inner)

    def close(self) -> None:
        """End the snapshot."""
        self.inner.close()
