"""Carry a plan out: rows in one transaction, files beside it, both or none."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from mlporter.artifacts.prefetch import Ahead
from mlporter.compare.rows.latest_metrics import LatestMetrics
from mlporter.errors import (
    ConflictError,
    MlporterError,
    ReadBackError,
    RefusedError,
    RowRefusedError,
)
from mlporter.execute.database.issue_categories import remove_categories, write_categories
from mlporter.execute.database.reading_back import ReadingBack
from mlporter.execute.database.rewrite import Rewrite
from mlporter.execute.database.target_files import Bound
from mlporter.execute.files.artifact_files import open_guarded, process_files, unreadable
from mlporter.execute.findings.left_out import LeftOutCollector
from mlporter.execute.phases import COPYING, FINISHING, READING_BACK, WRITING
from mlporter.execute.result import FilesResult
from mlporter.plan.misfits import MAX_REASONS, MisfitFoundError, stop_at_misfit
from mlporter.plan.policy import how_to_settle, said_of_conflicts
from mlporter.stores.protocols import Among, elsewhere, read_elsewhere
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.artifacts.disk.write_log import NotRemoved
    from mlporter.artifacts.places import Written
    from mlporter.errors import LeftOut
    from mlporter.execute.database.changed_files import ChangedFiles, SentFiles
    from mlporter.execute.database.prepared import Prepared
    from mlporter.execute.database.proof import Proof
    from mlporter.execute.database.target_files import TargetFiles
    from mlporter.execute.files.tasks import Landed, Put
    from mlporter.plan.deleted_rows import Update
    from mlporter.progress import OnProgress, Phases
    from mlporter.stores.database.target import DatabaseTarget
    from mlporter.stores.protocols import Source
    from mlporter.workers.task_pool import TaskPool

__all__ = ["Load", "check"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _IntoPlaces:
    """What is done with each file; see `mlporter.execute.files.artifact_files.Work`."""

    work: Prepared
    files: TargetFiles

    def here(self, bound: Bound) -> Written:
        source = self._source(bound)
        written = self.files.put(
            bound,
            lambda: open_guarded(source, bound.file),
            lambda: elsewhere(source, bound.file),
        )
        if written.by_storage:
            read_elsewhere(source, bound.file, written.sha256)
        return written

    def elsewhere(self, bound: Bound) -> Put | None:
        found = elsewhere(self._source(bound), bound.file)
        return None if found is None else self.files.elsewhere(bound, found)

    def done(self, bound: Bound, answer: Landed) -> Written | None:
        written = self.files.put_elsewhere(bound, answer)
        if written is not None:
            read_elsewhere(self._source(bound), bound.file, written.sha256)
        return written

    def _source(self, bound: Bound) -> Source:
        return self.work.whole if bound.is_old else self.work.source


@dataclass
class Load:
    """A transfer that was planned, carried out.

    Attributes:
        work: What is copied, and where; it is read twice: what was written is compared with it.
        target: A database in its transaction.
        files: Where the files go, or None to copy none.
        sent: Remembers files of new owners.
        changed: What becomes of files of owners that are there, if that was looked at.
        proof: Plans again, once all is written.
        phases: Called with how far it is.
    """

    work: Prepared
    target: DatabaseTarget
    files: TargetFiles | None
    sent: SentFiles
    changed: ChangedFiles | None
    proof: Proof
    pool: TaskPool
    phases: Phases
    latest: LatestMetrics = field(init=False)
    back: ReadingBack = field(init=False)
    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    files_result: FilesResult | None = None

    def __post_init__(self) -> None:
        """Latest metrics are derived: the target is given what its metrics say."""
        tables = {table.name: table for table in self.target.tables}
        appended = frozenset(self.work.merge.appended)
        self.latest = LatestMetrics(tables["latest_metrics"], appended)
        self.back = ReadingBack(self.work, self.target, self.latest)

    def run(self, remember: Callable[[OnProgress], None]) -> None:
        """Check, write, read back, copy files, commit; undo everything if any of it fails.

        The artifact root is made first: one that cannot be is found before hours of work.

        Args:
            remember: Notes what is sent. It is called when all is there, and not yet committed; or
                beside, where all is new, while the target makes the indexes of metrics.

        Raises:
            ConflictError, RefusedError: as `check` does.
        """
        with (
            closing(self.work),
            closing(self.latest),
            closing(Ahead(remember, self.phases.on_progress)) as remembering,
        ):
            try:
                self._run(remembering)
            except RowRefusedError:
                # Only now is it worth a look at all rows: to say which.
                check(self.work, self.work.against_rules())
                raise
            except MisfitFoundError:
                check(self.work, self.work.against_rules())
            else:
                return
            raise RefusedError(
                "had a value that did not fit, and no longer has it",
                subject=self.work.source.description.address,
                hint="it changed while it was being read; nothing was written: run this again",
            )

    def _run(self, remembering: Ahead) -> None:
        try:
            check(self.work, self.work.beyond_limits())
            if self.files is not None:
                self.files.prepare(self.pool)
            self.proof.begin()
            self.phases.begin(WRITING)
            self._write(remembering if self.work.fresh else None)
            self._write_latest()
            self._update()
            write_categories(self.target, self.work.merge, fresh=self.work.fresh)
            remove_categories(self.target, self.work.merge)
            self._remove()
            self.target.finish()
            self.phases.begin(READING_BACK)
            self.back.read()
            remembering.wait()  # what follows uses what is remembered, too
            self.proof.prove()
            self._copy_files()
            self.phases.begin(FINISHING)
            remembering.finish()
            self.target.commit()
        except BaseException as error:
            if self.target.rollback() and self.files is not None:
                _say_what_stays(error, self.files.undo())
            raise

    def _new(self, entity: str) -> tuple[str, ...]:
        return tuple(sorted(self.work.merge.new.get(entity, ())))

    def _write(self, remembering: Ahead | None) -> None:
        if self.work.fresh:
            self._replace_fresh()
        elif isinstance(self.work.rewrite, Rewrite):
            self.work.rewrite.look()
        self._make_room()
        for table in self.work.plan.tables:
            expected = self.work.copied(table.name)
            batches = self.work.later.watch(table.name, self.work.rows(table, "writing"))
            if self.work.stops_at_misfit:
                batches = stop_at_misfit(table, batches)
            if table.name == "metrics":
                batches = self.latest.watch(batches)
                if remembering is not None:
                    batches = remembering.begin_after(batches)
            look_at = partial(self.back.look_at, table)
            rows = self.target.write(table, batches, expected, look_at)
            if rows != expected:
                self.work.count_again()  # what does not fit was met while it was read
                expected = self.work.copied(table.name)
            if rows != expected:
                raise ReadBackError(
                    f"{rows} rows were written and {expected} planned",
                    subject=f"{self.target.address} table {table.name}",
                )
        for item in self.work.left_out():
            self.left_out.add(item)

    def _make_room(self) -> None:
        """Remove what is left over of things that were purged, and that come back."""
        for left, expected in self.work.merge.leftovers.items():
            self.target.remove(left.table, left.columns, left.key)
            _log.debug("removed %d rows of %s: %s", expected, left.table, left.key)
        for run in self.work.merge.appended:
            self.target.remove("latest_metrics", ("run_uuid",), (run,))

    def _remove(self) -> None:
        """Remove rows that the source has no more, when nothing refers to them any longer."""
        for removal in self.work.merge.removals:
            self.target.remove(removal.table, removal.columns, removal.key)
            _log.debug("removed from %s: %s", removal.table, removal.key)

    def _update(self) -> None:
        """Change rows that are there, as planned, when all is there that they may refer to.

        Raises:
            ReadBackError: a row reads back otherwise.
        """
        tables = {table.name: table for table in self.target.tables}
        by_table: dict[str, list[Update]] = defaultdict(list)
        for update in self.work.merge.updates:
            self.target.update(tables[update.table], update.key, update.values)
            by_table[update.table].append(update)
        for name, updates in by_table.items():
            self.back.check_updated(tables[name], updates)

    def _write_latest(self) -> None:
        """The latest metrics of the runs that were written, as MLflow would have kept them."""
        self._write_latest_of(self.latest)
        if runs := tuple(sorted(self.work.merge.appended)):
            # Of runs that got more points, all of them say what their latest are.
            with closing(LatestMetrics(self.latest.table)) as latest:
                metrics = next(t for t in self.target.tables if t.name == "metrics")
                columns = tuple(metrics.schema.names)
                points = self.target.read("metrics", columns, Among("run_uuid", runs))
                for _ in latest.watch(points):
                    pass
                self._write_latest_of(latest)

    def _write_latest_of(self, latest: LatestMetrics) -> None:
        rows = self.target.write(latest.table, latest.read(), latest.count)
        if rows != latest.count:
            raise ReadBackError(
                f"{rows} rows were written and {latest.count} computed",
                subject=f"{self.target.address} table {latest.table.name}",
            )

    def _replace_fresh(self) -> None:
        """The source's own first workspace and experiment come instead of the new database's."""
        source = self.work.source
        workspaces = {name for (name,) in rows_of(source, "workspaces", ("name",))}
        columns = ("experiment_id", "workspace", "name")
        experiments = {
            number == 0 or (workspace or "default", name) == ("default", "Default")
            for number, workspace, name in rows_of(source, "experiments", columns)
        }
        self.target.replace_fresh(workspace="default" in workspaces, experiment=True in experiments)

    def _copy_files(self) -> None:
        files = self.files
        if files is None:
            return
        self.phases.begin(COPYING)
        total = self.work.source.description.file_bytes if self.work.fresh else None

        def unread(bound: Bound, why: str) -> None:
            report(unreadable(bound.file, why))

        def report(item: LeftOut) -> None:
            self.sent.failed.add(item.id)
            self.left_out.add(item)

        for item in self.changed.left_out if self.changed else ():
            self.left_out.add(item)
        bounds = chain(files.bind(self.work.source.files(report)), self._new_of_old_owners())
        count = size = there = stored = by_storage = bytes_by_storage = 0
        for bound, written in process_files(
            bounds,
            _IntoPlaces(self.work, files),
            unread,
            pool=self.pool,
            size=lambda bound: bound.file.size,
            waits=True,  # what was written is taken back, once nobody writes
        ):
            files.landed(bound, written)
            self._note(bound, written)
            count += 1
            size += bound.file.size
            there += not written.created
            stored += written.size if written.created else 0
            by_storage += written.by_storage
            bytes_by_storage += written.size if written.by_storage else 0
            self.phases.on_progress("copying artifacts", size, total, "bytes")
        files.settle()
        self.sent.without_files(self.work)
        self.files_result = FilesResult(
            "copy", count, size, there, count - there, stored, by_storage, bytes_by_storage
        )

    def _new_of_old_owners(self) -> Iterator[Bound]:
        for file, root in self.changed.sends if self.changed else ():
            yield Bound(file, root, is_old=True)

    def _note(self, bound: Bound, written: Written) -> None:
        if bound.is_old and self.changed is not None:
            self.changed.note(bound.file, written)
        else:
            self.sent.note(bound.file, written)

    def replace_files(self) -> None:
        """Let files take the place of others, now that the rows are there for good."""
        if self.changed is None or self.files_result is None or not self.changed.replaces:
            return
        done, result = self.changed.replace(self.left_out.add), self.files_result
        stored = [written.size for written in done if written.by_storage]
        self.files_result = replace(
            result,
            files=result.files + len(done),
            stored_files=result.stored_files + len(done),
            by_storage=result.by_storage + len(stored),
            bytes_by_storage=result.bytes_by_storage + sum(stored),
        )


def check(work: Prepared, misfits: tuple[str, ...]) -> None:
    """Refuse conflicts, values that the target would not take, and files that cannot be read.

    All reasons are named together.

    Args:
        work: What is to be copied.
        misfits: The values that are known not to fit.

    Raises:
        ConflictError: the target has something else under a name or an id.
        RefusedError: it cannot hold some values; or files are unreadable, and that matters.
    """
    conflicts, unreadable = work.merge.conflicts, work.unreadable
    if (conflicts or unreadable.count) and not misfits:
        misfits = work.misfits()
    named = tuple(str(conflict) for conflict in conflicts[:MAX_REASONS])
    reasons = (*named, *misfits[:MAX_REASONS], *unreadable.reasons)
    if conflicts:
        more = f" (the first {MAX_REASONS} are named)" if len(conflicts) > MAX_REASONS else ""
        raise ConflictError(
            f"{said_of_conflicts(conflicts)}{more}",
            subject=str(work.target.address),
            hint=how_to_settle(work.policy.on_conflict),
            reasons=reasons,
        )
    if misfits:
        raise RefusedError(
            "the target cannot hold some values as they are",
            subject=str(work.target.address),
            hint="shorten or fix them in the source, or import into SQLite",
            reasons=reasons,
        )
    if unreadable.count:
        raise unreadable.refusal(work.origin.description.address)


def _say_what_stays(error: BaseException, stays: list[NotRemoved]) -> None:
    """Files that a rollback could not remove again are part of what went wrong."""
    lines = [f"was written and could not be removed: {stay.where}: {stay.why}" for stay in stays]
    for line in lines:
        _log.warning(line)
    if isinstance(error, MlporterError):
        error.reasons = (*error.reasons, *lines[:MAX_REASONS])
