"""A bundle as a place to read from: the same tables and files as a database or a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from mlporter.bundle.blobs import BlobStore
from mlporter.bundle.contents.reading import PackedContents
from mlporter.bundle.contents.stored_content import StoredContent
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.bundle.folder.layout import BLOBS, PACKS, what_is_wrong
from mlporter.bundle.folder.state import check_finished
from mlporter.bundle.storage.local import LocalStorage
from mlporter.bundle.tables.layers import LayeredTables
from mlporter.bundle.tables.read_parts import PartsInFolder
from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import BY_NAME, TABLES, USER_TABLES
from mlporter.catalogue.found import found_note, in_order
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS, UNKNOWN_FIELDS
from mlporter.catalogue.types import Kind
from mlporter.errors import BundleDamagedError
from mlporter.stores.protocols import ArtifactFile, Description
from mlporter.stores.rows.filters import columns_with, rows_among

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.tables.read_parts import PartFiles
    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import Among, Keep, Report

__all__ = ["BundleSource"]


class ReadableContents(Protocol):
    """File contents by their SHA-256: those of a bundle, or the pool of a repository."""

    def open(self, sha256: str, size: int | None = None) -> BinaryIO:
        """A content for reading, checked as it is read."""

    def elsewhere(self, sha256: str, size: int) -> StoredContent | None:
        """Where other processes find it; None if only this one can read it."""


class BundleSource:
    """Reads a finished bundle; implements `mlporter.stores.protocols.Source`.

    The own tables ``artifacts``, ``left_out`` and ``unknown_fields`` (if there is one) can be read
    and counted too, but are not among `tables`. Every part is hashed before it is decoded, and
    every file while it is read.
    """

    def __init__(self, path: str | os.PathLike[str], blobs: BlobStore | None = None) -> None:
        """Open the bundle in `path`; `blobs` is the pool its blobs are in, if not in itself.

        Raises:
            UnreachableError: there is no such directory, or it cannot be read.
            UsageError: it is not a bundle.
            BundleUnfinishedError: its export was interrupted.
            BundleInUseError: it is being written.
            BundleDamagedError: its manifest is not what the format says.
            UnsupportedError: it is of a later format version.
        """
        folder = Path(path)
        check_finished(folder)
        manifest = load_manifest(folder)
        for name in (BLOBS, PACKS):
            if blobs is None and (folder / name).is_symlink():
                raise BundleDamagedError(f"{name} is a symbolic link", subject=str(folder))
        self._packed = PackedContents(LocalStorage(folder), lambda: self.read(CONTENTS.name))
        own = self._packed if manifest.has_packs else BlobStore(folder / BLOBS)
        self._use(manifest, PartsInFolder(folder), blobs or own)

    def _use(
        self, manifest: Manifest, files: PartFiles, contents: BlobStore | ReadableContents
    ) -> None:
        """Read what a manifest names, wherever it is."""
        self.where = files.name
        self.manifest = manifest
        self._contents: BlobStore | ReadableContents = contents
        self._tables = {name: entry.table(name) for name, entry in manifest.tables.items()}
        self._reader = LayeredTables(files, manifest.tables)

    @property
    def description(self) -> Description:
        """What and where it is."""
        manifest = self.manifest
        return Description(
            address=self.where,
            kind="bundle",
            revision=manifest.schema_revision,
            consistency=manifest.source.consistency,
            artifacts=manifest.artifacts.mode,
            bundle_id=manifest.bundle_id,
            stored_revision=manifest.source.schema_revision,
            registry=manifest.source.registry,
            selection=manifest.selection if isinstance(manifest.selection, dict) else None,
            as_found=found_note(manifest.schema_revision, self.tables, BY_NAME),
            over_rest=manifest.source.kind == "server",
            files=manifest.artifacts.files,
            file_bytes=manifest.artifacts.bytes,
        )

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables in the catalogue's order, then those that the catalogue does not know."""
        known = [t.name for t in (*TABLES, *USER_TABLES) if t.name in self._tables]
        ours = [name for name, table in self._tables.items() if table.kind is Kind.OWN]
        rest = sorted(set(self._tables) - set(known) - set(ours))
        return in_order(self._tables[name] for name in (*known, *rest))

    def count(self, table: str) -> int:
        """Rows of a table, as the manifest says.

        Raises:
            KeyError: the bundle has no such table.
        """
        return self.manifest.tables[table].rows

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table in key order, in batches of bounded size; all, or those in `among`.

        Raises:
            KeyError: the bundle has no such table or column.
            BundleDamagedError: a part does not match the manifest.
            UnreachableError: a part cannot be read.
        """
        entry = self._tables[table]
        if among is None:
            return self._reader.read(entry, columns)
        wanted = columns_with(entry, columns, among)
        return rows_among(self._reader.read(entry, wanted), columns, among)

    def unknown_fields(self) -> Iterator[pa.RecordBatch]:
        """What the export kept of a newer server's answers."""
        entry = self._tables.get(UNKNOWN_FIELDS.name)
        if entry is not None and entry.kind is Kind.OWN:
            yield from self.read(entry.name)

    def files(
        self,
        report: Report,  # noqa: ARG002 -- nothing to report
        keep: Keep | None = None,
    ) -> Iterator[ArtifactFile]:
        """Every artifact file, sorted, or those of the owners that `keep` wants; SHA-256 is known.

        Raises:
            BundleDamagedError: the table ``artifacts`` is damaged, or holds what no writer writes.
        """
        for batch in self.read(ARTIFACTS.name):
            for kind, owner, path, size, sha256 in python_rows(batch, ARTIFACTS.schema.names):
                if wrong := what_is_wrong(kind, path, size, sha256):
                    message = f"{path[:200]!r} of {kind[:60]} {owner[:200]} {wrong}"
                    raise BundleDamagedError(message, subject=self.where)
                if keep is None or keep(kind, owner):
                    yield ArtifactFile(kind, owner, path, size, sha256, token=sha256, stamp=sha256)

    def open_file(self, file: ArtifactFile) -> BinaryIO:
        """The bytes of a file, checked as they are read. Safe to call from several threads.

        Raises:
            BundleDamagedError: the blob is missing or of another size; or, with the last read, not
                what its name says.
            UnreachableError: it cannot be read.
        """
        return self._contents.open(file.sha256 or file.token, file.size)

    def elsewhere(self, file: ArtifactFile) -> StoredContent | None:
        """Where other processes find the bytes of a file."""
        sha256, contents = file.sha256 or file.token, self._contents
        if isinstance(contents, BlobStore):
            folder = contents.path
            is_own = folder.name == BLOBS
            return StoredContent(LocalStorage(folder.parent), sha256, file.size) if is_own else None
        try:
            return contents.elsewhere(sha256, file.size)
        except BundleDamagedError:
            return None  # `open_file` says it

    def losses(self) -> Iterator[LeftOut]:
        """Nothing: what the export could not give is in the table ``left_out``."""
        return iter(())

    @property
    def notes(self) -> tuple[str, ...]:
        """What is in it that this release does not know; the rest was said by the export."""
        found = self.description.as_found
        return (found,) if found else ()

    def close(self) -> None:
        """Free temporary space."""
        self._packed.close()
