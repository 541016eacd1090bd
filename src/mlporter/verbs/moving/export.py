"""`export`: a registry into a bundle."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.artifacts.prefetch import read_ahead
from mlporter.artifacts.uris.ownership import Where
from mlporter.bundle.signing import check_private_key, sign_manifest
from mlporter.bundle.writer import BundleWriter, ManifestInfo, Mode
from mlporter.catalogue.tables.own import UNKNOWN_FIELDS
from mlporter.catalogue.types import Kind
from mlporter.compare.latest_metrics import LatestMetrics
from mlporter.errors import LeftOut, ReadBackError, UnsupportedError, UsageError
from mlporter.execute.artifact_files import carry_files, open_guarded, unreadable
from mlporter.execute.left_out import LeftOutCollector, left_out_of
from mlporter.execute.options import ArtifactsMode, check_options
from mlporter.execute.orphans import check_orphans
from mlporter.execute.remarks import Remarks
from mlporter.execute.result import FilesResult, Result, TableResult
from mlporter.execute.unreadable_files import check_strict, find_unreadable
from mlporter.plan.table_plan import Plan, plan_transfer
from mlporter.progress import OnProgress, silent
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.database.schema.scripts import installed_mlflow
from mlporter.stores.opening import bundle_address, open_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.unknown_fields import field_losses, unknown_fields
from mlporter.stores.rows.version_locations import locations_of, rows_of
from mlporter.verbs.moving.planned_export import plan_export
from mlporter.wording import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    import pyarrow as pa

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.catalogue.types import Table
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Address, Place
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["export"]

_METRICS = "metrics"
_LATEST = "latest_metrics"


def export(
    source: Place,
    bundle: Place,
    *,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    retry_time: float = RETRY_TIME,
    resume: bool = False,
    restart: bool = False,
    include_secrets: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    strict_artifacts: bool = False,
    orphans: bool = False,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    selection: Asked = None,
    sign: str | PathLike[str] | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Export a registry, or a part of it, to a directory.

    The source is read in one consistent snapshot, and never changed. Artifact files are read
    after the tables. What could not be carried is in the result and in the bundle's ``left_out``.

    Args:
        source: Address of a database or a tracking server, or the path of a file store.
        bundle: The directory, as a text or a path; it must be new or empty.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        workers: Tables and files that are read, and requests sent, at a time.
        retry_time: Seconds after which a server that keeps failing is given up.
        resume: Continue an interrupted export in that directory.
        restart: Begin again; a finished bundle there is replaced once the new one is whole.
        include_secrets: Carry secrets (encrypted as they are) too; what holds them is readable by
            its owner only.
        auth: Address of the database of its users, if they have one of their own.
        registry: Where its registered models are, if they are in another place.
        strict_artifacts: Refuse, before the directory is made, if files are missing or unreadable.
        orphans: Carry local files too that no row points to; see `inspect`.
        include_tables: Tables of other programs in the same database that are to come, too.
        source_env: What the names of the source's own variables begin with, such as ``DEV_``.
        selection: What to export, with all that it depends on: a `Selection`, or a mapping such
            as ``{"models": ["churn*"]}``; None is everything.
        sign: The file of a private key: the bundle's manifest is signed with it, in the OpenSSF
            model-signing format.
        dry_run: Count and list what would be exported, and write nothing.
        on_progress: Told how far it is.

    Raises:
        RefusedError: the directory is used, the source cannot be read by this release, something
            that is asked for is not there, or files are missing (`strict_artifacts`).
        UnreachableError: the source cannot be reached, or the disk is full.
        BundleInUseError: another process writes into that directory.
    """
    selection = as_selection(selection)
    check_options(artifacts, workers)
    check_strict(artifacts, strict_artifacts=strict_artifacts)
    check_orphans(artifacts, selection, orphans=orphans)
    if uri_map and artifacts == "reference":
        raise UsageError(
            "a bundle keeps the artifact URIs as they are, and --map-uri would change nothing",
            hint="give --map-uri to the import of the bundle",
        )
    place = locate(bundle)
    if place.kind is AddressKind.FILESTORE:
        raise UnsupportedError(
            "is a file store, which is never written to",
            subject=str(place),
            hint="name a new directory for the bundle",
        )
    if place.kind is not AddressKind.BUNDLE:
        raise UsageError("a bundle is a directory", subject=str(place))
    if resume and restart:
        raise UsageError("resume and restart exclude each other")
    if sign is not None:
        check_private_key(str(sign))
    started = monotonic()
    mode: Mode = "resume" if resume else "restart" if restart else "new"
    origin = locate(source, source_env)
    opened = open_source(
        origin,
        uri_map=tuple(uri_map),
        allow_root=allow_root,
        workers=workers,
        include_secrets=include_secrets,
        retry_time=retry_time,
        part=selection is not None and not selection.is_everything,
        orphans=orphans,
        auth=None if auth is None else locate_users(auth, origin),
        registry=None if registry is None else locate_users(registry, origin),
        include_tables=tuple(include_tables),
        on_progress=on_progress,
    )
    try:
        opened = select(opened, selection)
        if strict_artifacts:
            lost = find_unreadable(opened, workers=workers, on_progress=on_progress)
            if lost.count:
                raise lost.refusal(opened.description.address)
        if dry_run:
            return plan_export(
                opened,
                place,
                mode,
                artifacts=artifacts,
                include_secrets=include_secrets,
                on_progress=on_progress,
            )
        with BundleWriter.create(
            bundle_address(place), mode, source=opened.description.address
        ) as writer:
            work = _Export(opened, writer, artifacts, workers, include_secrets, on_progress)
            work.run()
    finally:
        opened.close()
    if sign is not None:
        sign_manifest(Path(bundle_address(place)), str(sign))
    return work.result(place, monotonic() - started)


@dataclass
class _Export:
    """One export under way."""

    source: Source
    writer: BundleWriter
    artifacts: ArtifactsMode
    workers: int
    include_secrets: bool
    on_progress: OnProgress
    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    tables: list[TableResult] = field(default_factory=list)
    manifest: Manifest | None = None
    _latest: LatestMetrics | None = None
    _remarks: Remarks | None = None
    _stopped: Event = field(default_factory=Event)

    def run(self) -> None:
        """Tables, then files, then everything that makes it a bundle."""
        counts = {table.name: self.source.count(table.name) for table in self.source.tables}
        plan = plan_transfer(self.source.tables, counts, include_secrets=self.include_secrets)
        with ExitStack() as stack:
            self._watch_latest(counts, stack)
            self._remarks = stack.enter_context(closing(Remarks(plan.tables, counts)))
            self._write_tables(plan, counts)
            self._check_latest()
            for item in self._remarks.entries():
                self._leave_out(item)
        self._write_fields(plan)
        for item in (*plan.left_out, *left_out_of(self.source)):
            self._leave_out(item)
        if self.artifacts == "copy":
            self.writer.write_artifacts(self._files())
        self.manifest = self.writer.finish(self._info())

    def _write_fields(self, plan: Plan) -> None:
        """What a newer server told beside; known when all tables were read."""
        if any(table.name == UNKNOWN_FIELDS.name for table in plan.tables):
            why = "another program's table has the name under which a bundle keeps them"
            for item in field_losses(self.source, why):
                self._leave_out(item)
            return
        batches = unknown_fields(self.source)
        first = next(batches, None)
        if first is not None:
            self.writer.write_table(UNKNOWN_FIELDS, chain([first], batches))

    def _watch_latest(self, counts: dict[str, int], stack: ExitStack) -> None:
        latest = next((t for t in self.source.tables if t.name == _LATEST), None)
        if latest is not None and counts.get(_METRICS):
            self._latest = LatestMetrics(latest)
            stack.callback(self._latest.close)

    def _check_latest(self) -> None:
        difference = self._latest.differences(self.source) if self._latest else None
        if difference is not None:
            self._leave_out(difference)

    def _write_tables(self, plan: Plan, counts: dict[str, int]) -> None:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="tables") as pool:
            try:
                written = pool.map(lambda t: self._write(t, counts[t.name]), plan.tables)
                for table, rows in zip(plan.tables, written, strict=True):
                    self.tables.append(TableResult(table.name, rows))
            except BaseException:
                # The pool waits for the tables at hand: they end with their next batch.
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.tables += [TableResult(name, 0, skipped=rows) for name, rows in plan.skipped.items()]

    def _write(self, table: Table, expected: int) -> int:
        batches = self._counted(table, expected)
        # Another program's table was asked for by name, with whatever is in it.
        secrets = self.include_secrets or table.kind is Kind.UNKNOWN
        rows = self.writer.write_table(table, batches, secrets=secrets)
        if rows != expected:
            # What does not fit was met while it was read; such rows were counted before.
            again = self.source.read(table.name, table.order)
            expected = sum(batch.num_rows for batch in again)
        if rows != expected:
            raise ReadBackError(
                f"{rows} rows were read and {expected} counted in one snapshot",
                subject=f"{self.source.description.address} table {table.name}",
            )
        return rows

    def _counted(self, table: Table, total: int) -> Iterator[pa.RecordBatch]:
        done = 0
        batches: Iterator[pa.RecordBatch] = read_ahead(self.source.read(table.name))
        if table.name == _METRICS and self._latest is not None:
            batches = self._latest.watch(batches)
        if self._remarks is not None:
            batches = self._remarks.watch(table.name, batches)
        for batch in batches:
            if self._stopped.is_set():
                raise CancelledError
            yield batch
            done += batch.num_rows
            self.on_progress(f"reading {table.name}", done, total)

    def _files(self) -> Iterator[ArtifactFile]:
        """Copy every file into the blobs; yield each as it was copied, in order."""
        done = 0

        def carry(file: ArtifactFile) -> ArtifactFile:
            return self.writer.add_file(file, lambda: open_guarded(self.source, file))

        def unread(file: ArtifactFile, why: str) -> None:
            self._leave_out(unreadable(file, why))

        found = self.source.files(self._leave_out)
        for _, copied in carry_files(
            found, carry, unread, workers=self.workers, size=lambda file: file.size
        ):
            done += copied.size
            self.on_progress("copying artifacts", done, None, "bytes")
            yield copied

    def _leave_out(self, item: LeftOut) -> None:
        self.left_out.add(item)
        self.writer.leave_out(item)

    def _info(self) -> ManifestInfo:
        workspaces = rows_of(self.source, "workspaces", ("name",))
        locations = locations_of(self.source)
        return ManifestInfo(
            source=self.source.description,
            mlporter=version("mlporter"),
            mlflow=installed_mlflow(),
            workspaces=tuple(name for (name,) in workspaces) or ("default",),
            artifacts=self.artifacts,
            selection=self.source.description.selection,
            locations={
                key: found.file_owner
                for key, found in locations.items()
                if found.where is Where.ANCHORED and found.file_owner is not None
            },
        )

    def result(self, place: Address, seconds: float) -> Result:
        """What was done; the manifest is there."""
        if self.manifest is None:
            raise ReadBackError("the export did not finish", subject=str(place))
        totals = self.manifest.artifacts
        return Result(
            verb="export",
            source=self.source.description.address,
            target=str(place),
            tables=tuple(self.tables),
            files=FilesResult(
                self.artifacts,
                totals.files,
                totals.bytes,
                stored_files=totals.blobs,
                stored_bytes=totals.blob_bytes,
            ),
            left_out=self.left_out.summary(),
            notes=self.source.notes,
            seconds=seconds,
            next_command=command_line("verify", [place.typed or str(place)], ()),
        )
