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
from mlporter.execute.bundle.files_into_bundle import FilesIntoBundle
from mlporter.execute.bundle.reuse import (
    ALL,
    Changed,
    has_remarks_on_points,
    must_read_points,
    point_marks,
    rows_of_owners,
    whose_changed,
)
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
    from mlporter.stores.rows.spool import RowSpool
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
    pool: TaskPool | None = None
    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    tables: list[TableResult] = field(default_factory=list)
    manifest: Manifest | None = None
    _latest: LatestMetrics | None = None
    _points: RowSpool | None = None
    _new_points: Changed = ALL
    _was_told: bool = False
    _left_points: int = 0
    _remarks: Remarks | None = None
    _settled: SettledFiles | None = None
    _stopped: Event = field(default_factory=Event)

    def run(self) -> Manifest:
        """Tables, then files, then everything that makes it a bundle."""
        with ExitStack() as stack:
            if self.marks:
                self._mark_points(stack)
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
                self._leave_out(item)
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
        return self.source.count(table) + (self._left_points if table == _METRICS else 0)

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
        if latest is not None and counts.get(_METRICS):
            self._latest = LatestMetrics(latest)
            stack.callback(self._latest.close)

    def _check_latest(self) -> None:
        """What the source shows as the latest points, held against those that went by.

        Of runs of which no point was read, it is as it was; if something was said of them, it is
        said again, if it still holds: then all points are looked at, as they are stored.
        """
        owners = self._new_points.owners
        if self._latest is None or (owners == frozenset() and not self._was_told):
            return
        among = None
        if self._was_told:
            rows = self._latest.watch(self.writer.read_table(_METRICS))
            for _ in self._remarks.watch_texts(_METRICS, rows) if self._remarks else rows:
                pass
        elif owners is not None:
            among = Among("run_uuid", tuple(sorted(owners, key=str.encode)))
        difference = self._latest.differences(self.source, among)
        if difference is not None:
            self._leave_out(difference)

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
            changed = self._whose_changed(table, expected)
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
            rows = self._new_points_watched(rows)
        # What does not fit was met while it was read; it was counted before.
        total = self.writer.write_layer(table, rows, owners, lambda: self._count(table.name))
        return TableResult(table.name, new, total - new)

    def _new_points_watched(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Look at the points of runs that have others than before; of all, once they are there."""
        if self._was_told:
            return rows
        if self._latest is not None:
            rows = self._latest.watch(rows)
        return rows if self._remarks is None else self._remarks.watch_texts(_METRICS, rows)

    def _whose_changed(self, table: Table, expected: int) -> Changed:
        if self._points is None or table.name != _METRICS or self.full:
            return whose_changed(table, lambda: self._counted(table, expected), self.earlier)
        if self._new_points.owners is not None and self._remarks is not None:
            for batch in self._points.read():
                self._remarks.take_keys(_METRICS, batch)
        return self._new_points

    def _mark_points(self, stack: ExitStack) -> None:
        """Look at which runs have other points than before, ere any are counted or read.

        Of a server, those of the others are left where they are.
        """
        metrics = next((table for table in self.source.tables if table.name == _METRICS), None)
        self._points = point_marks(self.source) if metrics is not None else None
        if self._points is None or metrics is None:
            return
        stack.callback(self._points.close)
        if self.earlier is None or self.full or must_read_points(self.earlier):
            return
        changed = whose_changed(metrics, lambda: iter(()), self.earlier, points=self._points)
        self._new_points = changed
        self._was_told = changed.owners is not None and has_remarks_on_points(self.earlier)
        remote = remote_source(self.source)
        if remote is None or changed.owners is None:
            return
        same = (
            run
            for batch in self._points.read()
            for run in batch.column("run_uuid").to_pylist()
            if run not in changed.owners
        )
        left = remote.leave_histories(same)
        if left:
            self._left_points = self.earlier.entries[_METRICS].rows - rows_of_owners(
                metrics, self.earlier, changed.owners
            )

    def _write_marks(self) -> None:
        if self._points is None:
            return
        points = self._points
        remote = remote_source(self.source)
        if remote is not None and remote.incomplete_histories:
            return  # the next backup reads all points
        changed = whose_changed(POINT_MARKS, points.read, self.earlier)
        if changed.owners is None:
            self.writer.write_table(POINT_MARKS, points.read())
        elif not changed.owners:
            self.writer.keep_table(POINT_MARKS)
        else:
            wanted = pa.array(sorted(changed.owners), pa.string())
            kept = (b.filter(pc.is_in(b["run_uuid"], value_set=wanted)) for b in points.read())
            rows = sum(batch.num_rows for batch in points.read())
            some = (batch for batch in kept if batch.num_rows)
            self.writer.write_layer(POINT_MARKS, some, changed.owners, lambda: rows)

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
        work = FilesIntoBundle(self.source, self.writer.files, settled)
        pool = self.pool or Threads(self.workers)
        if pool.is_elsewhere and self.earlier is None:
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
        return settled_files(self.source, self.earlier, self._points)

    @property
    def not_listed(self) -> int:
        """Owners whose files were taken from the earlier snapshot, without a look."""
        return self._settled.not_listed if self._settled else 0

    def _notes(self) -> tuple[str, ...]:
        note = self._settled.note if self._settled else None
        return self.source.notes if note is None else (*self.source.notes, note)

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
            ),
            left_out=self.left_out.summary(),
            notes=self._notes(),
            seconds=seconds,
            next_command=following,
        )
