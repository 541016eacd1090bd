"""A registry into a bundle or a snapshot: tables, then files, then what makes it one."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.artifacts.prefetch import read_ahead
from mlporter.artifacts.uris.ownership import Where
from mlporter.bundle.documents.manifest_info import ManifestInfo
from mlporter.bundle.tables.layers import owner_columns, owner_names
from mlporter.bundle.tables.secret_rows import has_secrets
from mlporter.catalogue.tables.own import POINT_MARKS, UNKNOWN_FIELDS
from mlporter.catalogue.types import Kind
from mlporter.compare.rows.latest_metrics import LatestMetrics
from mlporter.errors import LeftOut, ReadBackError
from mlporter.execute.bundle.files_into_bundle import ByStorage, FilesIntoBundle
from mlporter.execute.bundle.known_points import KnownPoints, known_points
from mlporter.execute.bundle.reuse import ALL, NOTHING, Changed, whose_changed
from mlporter.execute.bundle.settled_files import settled_files
from mlporter.execute.files.artifact_files import process_files, unreadable
from mlporter.execute.findings.left_out import LeftOutCollector, left_out_of
from mlporter.execute.findings.remarks import Remarks
from mlporter.execute.phases import COPYING, FINISHING, READING, into_bundle
from mlporter.execute.result import FilesResult, Result, TableResult
from mlporter.plan.table_plan import Plan, plan_transfer
from mlporter.stores.database.schema.scripts import installed_mlflow
from mlporter.stores.protocols import Among, remote_source
from mlporter.stores.rows.unknown_fields import field_losses, unknown_fields
from mlporter.stores.rows.version_locations import locations_of, rows_of
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.bundle.upon_earlier import Earlier
    from mlporter.bundle.writer import BundleWriter
    from mlporter.catalogue.types import Table
    from mlporter.execute.bundle.settled_files import SettledFiles
    from mlporter.execute.options import ArtifactsMode
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import ArtifactFile, Source
    from mlporter.workers.task_pool import TaskPool

__all__ = ["BundleTransfer"]

_METRICS = "metrics"
_LATEST = "latest_metrics"


@dataclass
class BundleTransfer:
    """One export or backup under way.

    With `earlier`, what is as in that snapshot is not written again; `full` reads all points of
    metrics to know, and a repository (`marks`) is told how they are known the next time. A server
    is asked for the files of those only that may have others, unless `full` or `reread` says so.
    Where it `is_unchanged`, no table that it has is read at all: see `unchanged`.
    """

    source: Source
    writer: BundleWriter
    artifacts: ArtifactsMode
    workers: int
    include_secrets: bool
    on_progress: OnProgress
    earlier: Earlier | None = None
    full: bool = False
    reread: bool = False
    marks: bool = False
    is_unchanged: bool = False
    pool: TaskPool | None = None
    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    tables: list[TableResult] = field(default_factory=list)
    manifest: Manifest | None = None
    _latest: LatestMetrics | None = None
    _points: KnownPoints | None = None
    _says_of_rows: bool = False
    _remarks: Remarks | None = None
    _settled: SettledFiles | None = None
    _stopped: Event = field(default_factory=Event)
    _by_storage: ByStorage = field(default_factory=ByStorage)

    def run(self) -> Manifest:
        """Tables, then files, then everything that makes it a bundle."""
        with ExitStack() as stack:
            if self.marks and not self.is_unchanged:
                self._points = known_points(self.source, self.earlier, full=self.full)
            if self._points is not None:
                stack.callback(self._points.close)
            return self._run()

    def _run(self) -> Manifest:
        counts = {table.name: self._count(table.name) for table in self.source.tables}
        plan = plan_transfer(self.source.tables, counts, include_secrets=self.include_secrets)
        phases = into_bundle(self.on_progress, copies=self.artifacts == "copy")
        phases.begin(READING)
        with ExitStack() as stack:
            self._watch_latest(counts, stack)
            self._remarks = stack.enter_context(closing(Remarks(plan.tables, counts)))
            self._write_tables(plan, counts)
            self._write_marks()
            self._check_latest()
            for item in self._remarks.entries():
                self._remark(item)
        self._write_fields(plan)
        for item in (*plan.left_out, *left_out_of(self.source)):
            self._leave_out(item)
        if self.artifacts == "copy":
            phases.begin(COPYING)
            self.writer.write_artifacts(self._files())
        phases.begin(FINISHING)
        self.manifest = self.writer.finish(self._info())
        return self.manifest

    def _count(self, table: str) -> int:
        """Rows of a table of the source, those included that are left where they are."""
        if self.is_unchanged and self.earlier is not None and table in self.earlier.entries:
            return self.earlier.entries[table].rows
        left = self._points.left if self._points is not None and table == _METRICS else 0
        return self.source.count(table) + left

    def _write_fields(self, plan: Plan) -> None:
        """What a newer server said beside; known when all tables were read."""
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
        if latest is not None and counts.get(_METRICS) and not self.is_unchanged:
            self._latest = LatestMetrics(latest)
            stack.callback(self._latest.close)

    def _check_latest(self) -> None:
        """What the source shows as the latest points, held against those that went by.

        Of runs of which no point was read, it is as it was; if something was said of them, it is
        said again, if it still holds: then all points are looked at, as they are stored.
        """
        points = self._points
        owners = points.changed.owners if points is not None else None
        was_told = points is not None and points.was_told
        if self._latest is None or (owners == frozenset() and not was_told):
            return
        among = None
        if was_told:
            rows = self._latest.watch(self.writer.read_table(_METRICS))
            for _ in self._remarks.watch_texts(_METRICS, rows) if self._remarks else rows:
                pass
        elif owners is not None:
            among = Among("run_uuid", tuple(sorted(owners, key=str.encode)))
        difference = self._latest.differences(self.source, among)
        if difference is not None:
            self._remark(difference)

    def _write_tables(self, plan: Plan, counts: dict[str, int]) -> None:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="tables") as pool:
            try:
                written = pool.map(lambda t: self._write(t, counts[t.name]), plan.tables)
                self.tables += written
            except BaseException:
                # The pool waits for the tables at hand: they end with their next batch.
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.tables += [TableResult(name, 0, skipped=rows) for name, rows in plan.skipped.items()]

    def _write(self, table: Table, expected: int) -> TableResult:
        # Another program's table was asked for by name, with whatever is in it.
        secrets = self.include_secrets or table.kind is Kind.UNKNOWN
        changed = ALL
        if self.earlier is not None and not (secrets and has_secrets(table)):
            is_there = self.is_unchanged and table.name in self.earlier.entries
            changed = NOTHING if is_there else self._whose_changed(table, expected)
        if changed.owners is None:
            read = (
                self.source.read(table.name) if changed.was_read else self._counted(table, expected)
            )
            rows = self.writer.write_table(table, read, secrets=secrets)
            self._check(table, rows, expected)
            return TableResult(table.name, rows)
        if not changed.owners:
            rows = self.writer.keep_table(table)
            self._check(table, rows, expected)
            return TableResult(table.name, 0, rows)
        return self._write_layer(table, changed.owners)

    def _write_layer(self, table: Table, owners: frozenset[str]) -> TableResult:
        whose = owner_columns(table)
        at = table.by_name[whose[-1]]
        values = (
            tuple(sorted(map(int, owners)))
            if pa.types.is_integer(at.type)
            else tuple(sorted({owner.rpartition("\0")[2] for owner in owners}, key=str.encode))
        )
        new = 0

        def counted() -> Iterator[pa.RecordBatch]:
            nonlocal new
            wanted = pa.array(sorted(owners), pa.string())
            for batch in self.source.read(table.name, among=Among(at.name, values)):
                # Another workspace may have something of the same name.
                found = batch.filter(pc.is_in(owner_names(batch, whose), value_set=wanted))
                new += found.num_rows
                if found.num_rows:
                    yield found

        rows = counted()
        if table.name == _METRICS and self._points is not None and not self.full:
            rows = self._points.watched(rows, self._latest, self._remarks)
        # What does not fit was met while it was read; it was counted before.
        total = self.writer.write_layer(table, rows, owners, lambda: self._count(table.name))
        return TableResult(table.name, new, total - new)

    def _whose_changed(self, table: Table, expected: int) -> Changed:
        points = self._points
        if points is None or table.name != _METRICS or self.full:
            return whose_changed(table, lambda: self._counted(table, expected), self.earlier)
        if points.changed.owners is not None and self._remarks is not None:
            for batch in points.marks.read():
                self._remarks.take_keys(_METRICS, batch)
        return points.changed

    def _write_marks(self) -> None:
        if self._points is not None:
            self._points.write(self.writer)
        elif self.is_unchanged and self.earlier and POINT_MARKS.name in self.earlier.entries:
            self.writer.keep_table(POINT_MARKS)

    def _check(self, table: Table, rows: int, expected: int) -> None:
        if rows != expected:
            # What does not fit was met while it was read; such rows were counted before.
            again = self.source.read(table.name, table.order)
            expected = sum(batch.num_rows for batch in again)
        if rows != expected:
            raise ReadBackError(
                f"{rows} rows were read and {expected} counted in one snapshot",
                subject=f"{self.source.description.address} table {table.name}",
            )

    def _counted(self, table: Table, total: int) -> Iterator[pa.RecordBatch]:
        done = 0
        batches: Iterator[pa.RecordBatch] = read_ahead(self.source.read(table.name))
        if table.name == _METRICS and self._latest is not None:
            batches = self._latest.watch(batches)
        if table.name == _METRICS and self._points is not None:
            batches = self._points.counting(batches)
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

        settled = self._settled = self._find_settled()

        def unread(file: ArtifactFile, why: str) -> None:
            self._leave_out(unreadable(file, why))

        keep = settled.is_asked_for if settled else None
        found = self.source.files(self._leave_out, keep)
        if settled is not None:
            found = settled.together_with(found)
        work = FilesIntoBundle(self.source, self.writer.files, settled, self._by_storage)
        pool = self.pool or Threads(self.workers)
        if pool.is_elsewhere and not self.marks:
            self.writer.may_hold_others = True  # what a process had begun that was killed
        for _, copied in process_files(found, work, unread, pool=pool, size=lambda file: file.size):
            done += copied.size
            self.on_progress("copying artifacts", done, None, "bytes")
            yield copied

    def _find_settled(self) -> SettledFiles | None:
        """Of a server: whose files are taken from the earlier snapshot, without a look."""
        looks_at_all = self.full or self.reread
        if self.earlier is None or looks_at_all or remote_source(self.source) is None:
            return None
        marks = self._points.marks if self._points is not None else None
        return settled_files(self.source, self.earlier, marks)

    @property
    def not_listed(self) -> int:
        """Owners whose files were taken from the earlier snapshot, without a look."""
        return self._settled.not_listed if self._settled else 0

    def _notes(self) -> tuple[str, ...]:
        note = self._settled.note if self._settled else None
        return self.source.notes if note is None else (*self.source.notes, note)

    @property
    def says_of_rows(self) -> bool:
        """Whether something was said that only reading the rows tells."""
        return self._says_of_rows

    def _remark(self, item: LeftOut) -> None:
        self._says_of_rows = True
        self._leave_out(item)

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

    def result(self, verb: str, target: str, following: str, seconds: float) -> Result:
        """What was done; the manifest is there."""
        if self.manifest is None:
            raise ReadBackError(f"the {verb} did not finish", subject=target)
        totals = self.manifest.artifacts
        return Result(
            verb=verb,
            source=self.source.description.address,
            target=target,
            tables=tuple(self.tables),
            files=FilesResult(
                self.artifacts,
                totals.files,
                totals.bytes,
                stored_files=totals.blobs,
                stored_bytes=totals.blob_bytes,
                by_storage=self._by_storage.files,
                bytes_by_storage=self._by_storage.bytes,
            ),
            left_out=self.left_out.summary(),
            notes=self._notes(),
            seconds=seconds,
            next_command=following,
        )
