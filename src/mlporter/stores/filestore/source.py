"""A registry in a file store. Nothing is ever written into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.disk.presence import is_there
from mlporter.catalogue.types import Kind
from mlporter.errors import AccessDeniedError, RefusedError, UnreachableError
from mlporter.progress import silent
from mlporter.stores.addresses.file_store_folders import is_file_store
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.database.artifact_files import DatabaseFiles
from mlporter.stores.filestore.reading import Reading
from mlporter.stores.protocols import Among, ArtifactFile, Description, Keep, Report
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Openable, Source
    from mlporter.workers.task_pool import TaskPool

__all__ = ["FileStoreSource"]


@dataclass(frozen=True)
class _Reader:
    """The tables of a store that was read, wherever each is kept."""

    address: Address
    reading: Reading

    @property
    def tables(self) -> tuple[Table, ...]:
        """The catalogue's, but for those that only a database has: derived and transient ones."""
        left = {Kind.DERIVED, Kind.TRANSIENT}
        return tuple(t for t in self.reading.scratch.reader.tables if t.kind not in left)

    @property
    def by_name(self) -> dict[str, Table]:
        """The same by name."""
        return {table.name: table for table in self.tables}

    def count(self, table: str) -> int:
        """Rows of a table."""
        found = self.reading.run_tables.get(table)
        return found.rows if found is not None else self.reading.scratch.reader.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        found = self.reading.run_tables.get(table)
        if found is not None:
            return found.read(columns, among)
        return self.reading.scratch.reader.read(table, columns, among)


class FileStoreSource:
    """`mlporter.stores.protocols.Source` over a folder of files.

    It is read whole when it is opened, into a private temporary folder; so what changes in it
    afterwards is not seen, and what changes meanwhile may be seen in part.

    Raises (when opened):
        UnreachableError: there is no such folder, or it cannot be listed.
        RefusedError: it is no file store.
    """

    def __init__(  # noqa: PLR0913 -- as `open_source`, by keyword
        self,
        address: Address,
        *,
        uri_map: tuple[str, ...] = (),
        workers: int = 4,
        pool: TaskPool | None = None,
        orphans: bool = False,
        allowed: tuple[Path, ...] = (),
        on_progress: OnProgress = silent,
    ) -> None:
        path = _checked(address)
        self._address = address
        self._reading = Reading(str(path), str(address), pool or Threads(workers), on_progress)
        self._reader = _Reader(address, self._reading)
        folder = path.absolute()
        self._files = DatabaseFiles(
            self._reader,
            uri_map,
            workers,
            allowed=allowed,
            own=(folder,),
            base=folder.parent,
            beside=folder,
            environment=address.environment,
            orphans=orphans,
            homes=tuple((f"{place}/", folder / place) for place in self._reading.places),
            folders=self._reading.folders,
        )

    @property
    def description(self) -> Description:
        """What and where it is."""
        return Description(str(self._address), "filestore", self._reading.revision, "live")

    @property
    def tables(self) -> tuple[Table, ...]:
        """The catalogue's tables."""
        return self._reader.tables

    def losses(self) -> Iterator[LeftOut]:
        """What could not be read, and what is copied otherwise than it is stored."""
        yield from self._reading.notes.entries()

    @property
    def repeats(self) -> bool:
        """Whether rows of metrics may be exactly like another, which a database takes once."""
        return bool(self._reading.repeats or self.count("logged_model_metrics"))

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self._reader.count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        return self._reader.read(table, columns, among)

    def share_roots(self, tracking: Source) -> None:
        """Read files also where another place keeps them: that of a registry's runs."""
        self._files.share_roots(tracking)

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """Every artifact file that can be found; the rest goes to `report`."""
        return self._files.scan(report, keep)

    def outside(self) -> Iterator[LeftOut]:
        """Owners whose place is nobody's artifact root: their files are not read."""
        return self._files.outside()

    def open_file(self, file: ArtifactFile) -> AbstractContextManager[BinaryIO]:
        """The bytes of an artifact file."""
        return self._files.open(file)

    def elsewhere(self, file: ArtifactFile) -> Openable | None:
        """Where other processes find them."""
        return self._files.elsewhere(file)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return self._files.notes

    def close(self) -> None:
        """Forget what was read."""
        self._reading.close()


def _checked(address: Address) -> Path:
    """The folder of a store.

    Raises:
        UnreachableError: there is none, or it cannot be listed.
        RefusedError: it is no file store.
    """
    path = address.path
    if path is None or not is_there(path):
        raise UnreachableError("there is no such folder", subject=str(address))
    try:
        next(path.iterdir(), None)
    except PermissionError as error:
        raise AccessDeniedError(str(error.strerror), subject=str(address)) from error
    except OSError as error:
        raise UnreachableError(str(error.strerror), subject=str(address)) from error
    if not is_file_store(path):
        raise RefusedError(
            "is neither a bundle nor a file store",
            subject=str(address),
            hint=folder_hint(path),
        )
    return path
