"""Writing a bundle, in an order in which a crash leaves it unfinished and never wrong.

Parts and blobs come first, then the two summaries, then ``SHA256SUMS``, and the manifest last:
only with it the directory is a bundle. Whatever happens before, ``--resume`` goes on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlporter.bundle.contents.adding_files import AddingFiles
from mlporter.bundle.contents.named import NamedContents
from mlporter.bundle.contents.writing import BundleContents, PackTotals, contents_in
from mlporter.bundle.documents.left_out_log import LeftOutLog, batches_of
from mlporter.bundle.documents.manifest import Manifest, manifest_bytes, sums_bytes, sums_of
from mlporter.bundle.documents.manifest_entries import (
    SummaryEntry,
    TableEntry,
    table_entry,
)
from mlporter.bundle.documents.manifest_info import ManifestInfo, WhatWasWritten, manifest_of
from mlporter.bundle.documents.summary import Reader, write_summaries
from mlporter.bundle.folder.atomic import disk_errors, make_folder, write_atomic
from mlporter.bundle.folder.layout import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SUMS,
    what_is_wrong,
)
from mlporter.bundle.folder.leftovers import remove_others, sync_folders
from mlporter.bundle.folder.lock import BundleLock, utc_now
from mlporter.bundle.folder.state import Mode, check_only_ours, prepare, refuse_used
from mlporter.bundle.folder.untouched import Untouched
from mlporter.bundle.journal import Journal
from mlporter.bundle.replacing import (
    building_place,
    check_built,
    old_place,
    remove_bundle,
    take_place,
)
from mlporter.bundle.tables.layers import LayeredTables
from mlporter.bundle.tables.parts import PartWriter
from mlporter.bundle.tables.read_parts import PartsInFolder
from mlporter.bundle.tables.secret_rows import SecretCounter, has_secrets
from mlporter.bundle.upon_earlier import UponEarlier
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS, LEFT_OUT
from mlporter.catalogue.types import Kind
from mlporter.errors import MlporterError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    import pyarrow as pa
    from typing_extensions import Self

    from mlporter.artifacts.listing import ArtifactFile
    from mlporter.bundle.storage.protocol import Storage
    from mlporter.bundle.upon_earlier import Contents, Earlier
    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut

__all__ = ["BundleWriter", "Mode"]


class BundleWriter:
    """Writes one bundle, holding its lock from `create` until `finish` or the ``with`` ends.

        with BundleWriter.create(path, "new", source=address) as writer:
            for table in source.tables:
                writer.write_table(table, source.read(table.name))
            writer.write_artifacts(writer.add_file(file, opener) for file, opener in …)
            writer.finish(info)

    `add_file` and `leave_out` may be called from several threads, the rest from one. Left without
    `finish`, the directory stays as it is: an unfinished bundle, which "resume" continues.

    Attributes:
        path: The directory.
        may_hold_others: Whether files may be there that the bundle does not name, which somebody
            had begun who was killed: `finish` removes them.
    """

    def __init__(  # noqa: PLR0913 -- as `create`
        self,
        path: Path,
        lock: BundleLock,
        source: str,
        *,
        resume: bool,
        blobs: Contents | None,
        contents: Storage | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        """Use `create`."""
        self.path = path
        self._replaces: Path | None = None
        self._untouched: Untouched | None = None
        self._lock = lock
        self.may_hold_others = resume
        self._started = utc_now()
        self._tables: dict[str, TableEntry] = {}
        self._written: dict[str, Table] = {}
        self._secrets: dict[str, int] = {}
        self._files = self._bytes = 0
        with ExitStack() as stack:
            self._journal = Journal(path, source, resume=resume)
            stack.callback(self._journal.close)
            self._left_out = LeftOutLog()
            stack.callback(self._left_out.close)
            self._named = NamedContents()
            stack.callback(self._named.close)
            self._own: BundleContents | None = None
            self._upon: UponEarlier | None = None
            if blobs is None:
                blobs = self._own = contents_in(path, contents, resume=resume)
                stack.callback(self._own.close)
            else:
                self._upon = UponEarlier(path, earlier)
                stack.callback(self._upon.close)
            self._contents = blobs
            self.files = AddingFiles(self._journal, blobs, self._upon)
            self._packs = PackTotals()
            self._stack = stack.pop_all()

    @classmethod
    def create(  # noqa: PLR0913 -- all but two go by name
        cls,
        path: str | os.PathLike[str],
        mode: Mode = "new",
        *,
        source: str = "",
        blobs: Contents | None = None,
        contents: Storage | None = None,
        earlier: Earlier | None = None,
    ) -> BundleWriter:
        """Lock a directory and begin, go on with or begin again a bundle in it.

        Args:
            path: The directory; made if it is not there.
            mode: "new" takes none but an empty directory. "resume" goes on with an unfinished
                bundle, or begins. "restart" removes an unfinished bundle in it first; a finished
                one is replaced by `finish`, and is there whole until then.
            source: The redacted address of what is exported; "resume" insists on the same.
            blobs: A pool that holds the contents of many bundles; else they lie in the bundle.
            contents: Where the bundle's own contents go, if not into the directory: it is the
                rest of a bundle then, whose contents are in object storage already.
            earlier: An earlier bundle over the same pool, for `keep_table` and `write_layer`.

        Raises:
            RefusedError: the directory is used otherwise; nothing was changed.
            BundleInUseError: another process is writing there.
            UnreachableError: it cannot be written to.
        """
        root, replaces = building_place(Path(path), mode)
        refuse_used(root, mode)
        untouched = Untouched.of(root)
        lock = BundleLock(root)
        with ExitStack() as stack:
            stack.callback(untouched.give_up, lock)
            make_folder(root)
            lock.acquire()
            prepare(root, mode)
            resume = mode == "resume"
            writer = cls(
                root,
                lock,
                source,
                resume=resume,
                blobs=blobs,
                contents=contents,
                earlier=earlier,
            )
            stack.pop_all()
        writer._replaces, writer._untouched = replaces, untouched
        return writer

    def write_table(
        self, table: Table, batches: Iterable[pa.RecordBatch], *, secrets: bool = False
    ) -> int:
        """Write a table's rows, sorted strictly by its key; returns how many.

        A table that is not copied is written without rows, so that it is named. With `secrets`
        the rows may hold some: parts of a table that can are then readable by their owner only,
        and the manifest counts what is in them.

        Raises:
            UnreachableError: the disk is full or fails.
            MlporterError: the rows are not sorted, or not of the table's schema.
        """
        if table.name == CONTENTS.name and table.kind is not Kind.OWN and self._own:
            self._own.pack_nothing()  # another program's table has the name of ours
        counter = SecretCounter(table) if secrets and has_secrets(table) else None
        private, durable = counter is not None, self._upon is None
        writer = PartWriter(self.path, table, private=private, durable=durable)
        parts = writer.write(counter.watch(batches) if counter else batches)
        if counter:
            self._secrets.update(counter.found)
        self._tables[table.name] = table_entry(table, parts)
        self._written[table.name] = table
        return self._tables[table.name].rows

    def keep_table(self, table: Table) -> int:
        """Take a table as the earlier bundle has it; returns how many rows it has."""
        self._tables[table.name] = entry = self._need_upon().keep(table)
        self._written[table.name] = table
        return entry.rows

    def write_layer(
        self,
        table: Table,
        batches: Iterable[pa.RecordBatch],
        owners: Iterable[str],
        rows: Callable[[], int],
    ) -> int:
        """Write all rows of some owners, upon those that the earlier bundle has of others.

        Args:
            table: Which.
            batches: The rows, sorted strictly by the table's key.
            owners: Whose rows they are, as `owner_names` has it; those that have none any more too.
            rows: Tells how many rows the table has in all, once `batches` have been read.
        """
        self._tables[table.name] = entry = self._need_upon().layer(table, batches, owners, rows)
        self._written[table.name] = table
        return entry.rows

    def read_table(
        self, table: str, columns: tuple[str, ...] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read a table that was written: all of it, whatever the earlier bundle has of it."""
        files = self._upon.files if self._upon else PartsInFolder(self.path)
        reader = LayeredTables(files, self._tables)
        reader.replaced = self._upon.replaced if self._upon else {}
        return reader.read(self._written[table], columns)

    def _need_upon(self) -> UponEarlier:
        if self._upon is None:
            raise MlporterError("there is no earlier bundle to build upon", subject=str(self.path))
        return self._upon

    def add_file(
        self, file: ArtifactFile, opener: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> ArtifactFile:
        """Copy a file into the bundle; returns it with its SHA-256 and true size.

        A file that an interrupted export copied is not read again, if it is known to be the same.

        Raises:
            UnreachableError: the disk is full or fails. What `opener` and reading raise is passed
                on; nothing is kept then.
        """
        return self.files.add(file, opener)

    def write_artifacts(self, files: Iterable[ArtifactFile]) -> int:
        """Write the rows of the table ``artifacts``, sorted: files that `add_file` returned.

        Or files as the earlier bundle has them, with their SHA-256.

        Raises:
            MlporterError: they are not sorted, have unsafe paths, or were not added.
            UnreachableError: the disk is full or fails.
        """
        rows = (self._artifact_row(file) for file in files)
        return self.write_table(ARTIFACTS, self._named.noting(batches_of(rows, ARTIFACTS.schema)))

    def leave_out(self, item: LeftOut) -> None:
        """Note what is not in the bundle; sorted and stripped of repetitions by `finish`."""
        self._left_out.add(item)

    def finish(self, info: ManifestInfo) -> Manifest:
        """Write what remains, the manifest last, and free the lock: the bundle is finished.

        Raises:
            UnreachableError: the disk is full or fails; the bundle is unfinished then.
            UnsupportedError: there are so many tables that the manifest would be too long.
        """
        if ARTIFACTS.name not in self._tables:
            self.write_artifacts(())
        self.write_table(LEFT_OUT, self._left_out.batches())
        for table, batches in self._upon.tables() if self._upon else ():
            self.write_table(table, batches)
        self._contents.sync()
        if self._own is not None:
            self._write_contents(self._own)
        if self.may_hold_others:
            parts = {part.path for table in self._tables.values() for part in table.parts}
            remove_others(self.path, lambda path: path in parts or self._is_needed(path))
        reader = Reader(self._written, self.read_table)
        alone = self._upon is None  # else whoever has the pool makes a snapshot of it
        summaries = write_summaries(self.path, reader, info.locations, durable=alone)
        manifest = self._manifest(info, summaries)
        data = manifest_bytes(manifest)
        if len(data) > MAX_MANIFEST_BYTES:
            raise UnsupportedError("the manifest would be too long to be read", subject=MANIFEST)
        write_atomic(self.path / SUMS, sums_bytes(sums_of(manifest, data)), durable=alone)
        if alone:
            sync_folders(self.path)
        if self._replaces is not None:
            check_only_ours(self._replaces)
        write_atomic(self.path / MANIFEST, data, durable=alone)
        self._untouched = None
        self._stack.close()
        if self._replaces is not None:
            self._replace(self._replaces)
        with disk_errors(self.path):
            self._lock.remove()
        return manifest

    def _write_contents(self, own: BundleContents) -> None:
        """Say where the contents are, if there is anything to say: not all lie alone."""
        own.drop_unnamed(self._named.has)
        if own.has_packs:
            rows = own.rows(self._named.rows(), self._packs)
            self.write_table(CONTENTS, batches_of(rows, CONTENTS.schema))

    def _replace(self, root: Path) -> None:
        check_built(self.path)
        if os.name == "nt":  # no folder is renamed there while a file in it is open
            self._lock.remove()
        take_place(self.path, root)
        self._lock.moved_to(root)
        self.path = root
        remove_bundle(old_place(root))

    def close(self) -> None:
        """Free the lock. Unless `finish` was called, the bundle stays unfinished.

        What was copied stays, so that `--resume` need not read it again.
        """
        free = self._untouched.give_up if self._untouched else BundleLock.release
        with ExitStack() as stack:
            stack.callback(free, self._lock)
            stack.callback(self._stack.close)
            with suppress(MlporterError):
                if self._own is not None:
                    self._own.keep()
                else:
                    self._contents.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _artifact_row(self, file: ArtifactFile) -> tuple[object, ...]:
        sha256 = file.sha256 or ""
        if wrong := what_is_wrong(file.owner_kind, file.path, file.size, sha256):
            message = f"{file.path!r} {wrong}"
            raise MlporterError(message, subject=f"{file.owner_kind} {file.owner_id}")
        there = self._own.claim if self._own is not None else self._contents.has
        if not there(sha256, file.size):
            message = f"{file.path!r} was not added to the bundle"
            raise MlporterError(message, subject=f"{file.owner_kind} {file.owner_id}")
        if self._upon is not None:
            self._upon.note(file)
        self._files += 1
        self._bytes += file.size
        return (file.owner_kind, file.owner_id, file.path, file.size, sha256)

    def _manifest(self, info: ManifestInfo, summaries: tuple[SummaryEntry, ...]) -> Manifest:
        blobs, blob_bytes = self._named.totals()
        written = WhatWasWritten(
            started=self._started,
            files=self._files,
            bytes=self._bytes,
            blobs=blobs,
            blob_bytes=blob_bytes,
            packs=self._packs,
            is_packed=bool(self._upon or self._packs.packs),
            left_out=self._left_out.totals(),
            secrets=self._secrets,
            summaries=summaries,
            tables=self._tables,
        )
        return manifest_of(info, written)

    def _is_needed(self, path: str) -> bool:
        """Whether a file is a blob or a pack of this bundle."""
        if self._own is None:
            return False
        if self._own.is_pack(path):
            return True
        sha256 = path.rpartition("/")[2]
        return self._named.has(sha256) and not self._own.is_packed(sha256)
