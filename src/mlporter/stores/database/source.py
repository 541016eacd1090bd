"""A registry in a database, read with our own SQL on one consistent snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.moved_artifacts import FOLDERS
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.found import found_note
from mlporter.closing import closed_on_error
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.artifact_files import DatabaseFiles
from mlporter.stores.database.engines.snapshots import snapshot_of
from mlporter.stores.database.mysql.limits import limits_of
from mlporter.stores.database.reader import DatabaseReader
from mlporter.stores.protocols import Among, ArtifactFile, Description, Keep, Report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.database.mysql.limits import Limits
    from mlporter.stores.protocols import Openable, Source

__all__ = ["DatabaseSource"]


class DatabaseSource:
    """`mlporter.stores.protocols.Source` over SQLite, PostgreSQL or MySQL. Nothing is ever written.

    Raises (when opened):
        UnreachableError: no such database, wrong password, no server.
        RefusedError: not an MLflow database; RevisionError: at a revision that is not known here.
    """

    def __init__(  # noqa: PLR0913 -- what a source may be asked for
        self,
        address: Address,
        *,
        uri_map: tuple[str, ...] = (),
        workers: int = 4,
        orphans: bool = False,
        older: bool = True,
        exactly: str = "",
        upgraded: bool = False,
        part: bool = False,
        allowed: tuple[Path, ...] = (),
        jobs: int = 1,
    ) -> None:
        """Begin a snapshot.

        Args:
            address: Where.
            uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
            workers: How many places are listed at a time.
            orphans: List also files that no row points to.
            older: Read a database of an older MLflow as if it had been upgraded.
            exactly: A revision that is read as it is, though it is older.
            upgraded: Read an old database so, even where the installed MLflow is as old.
            part: Only a part will be read; see `SqliteSnapshot`.
            allowed: Folders of this machine that rows may name, besides its own.
            jobs: So many connections read a large table, if it is PostgreSQL.
        """
        self._snapshot = snapshot_of(address, part=part)
        with closed_on_error(self._snapshot):
            self._reader = DatabaseReader(
                address,
                self._snapshot.connect,
                older=older,
                exactly=exactly,
                upgraded=upgraded,
                still=True,
                jobs=jobs if address.kind is AddressKind.POSTGRESQL else 1,
            )
        folder = _folder(address)
        with closed_on_error(self._snapshot, self._reader):
            self._files = DatabaseFiles(
                self._reader,
                uri_map,
                workers,
                allowed=allowed,
                own=tuple(folder / name for name in FOLDERS) if folder else (),
                base=folder,
                beside=folder,
                environment=address.environment,
                orphans=orphans,
            )

    @property
    def description(self) -> Description:
        """What and where it is."""
        reader = self._reader
        own = reader.stored_revision
        return Description(
            address=str(reader.address),
            kind=reader.address.kind.value,
            revision=reader.revision,
            consistency="snapshot",
            stored_revision=own if own != reader.revision else None,
            as_found=found_note(reader.revision, reader.tables, BY_NAME),
            unsure=not reader.is_sure,
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables, as the database has them."""
        return self._reader.tables

    def count(self, table: str) -> int:
        """Rows of a table."""
        return self._reader.count(table)

    @property
    def state(self) -> str | None:
        """Which state of the database is read; see `TellsState`."""
        return None if self._reader.met_unfit else self._snapshot.state

    def points_by_run(self) -> Iterator[pa.RecordBatch]:
        """How many metric points each run has that has any."""
        return self._reader.points_by_run()

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        return self._reader.read(table, columns, among)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of how it was read."""
        return _with_note(self.description, (*self._reader.notes, *self._files.notes))

    def losses(self) -> Iterator[LeftOut]:
        """What of an older schema's values the newest schema has no room for."""
        return self._reader.losses()

    @property
    def limits(self) -> Limits | None:
        """What the database says itself of what it can hold, or None."""
        return limits_of(self._reader)

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

    def close(self) -> None:
        """End the snapshot."""
        self._reader.close()
        self._snapshot.close()


def _with_note(description: Description, notes: tuple[str, ...]) -> tuple[str, ...]:
    return (description.as_found, *notes) if description.as_found else notes


def _folder(address: Address) -> Path | None:
    """The folder of an SQLite file, to which relative URIs are relative; others have none."""
    if address.kind is AddressKind.SQLITE and address.path is not None:
        return address.path.absolute().parent
    return None
