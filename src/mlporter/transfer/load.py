"""Carry a plan out: rows in one transaction, files beside it, both or none."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.compare.check_written import same_rows
from mlporter.errors import MlporterError, ReadBackError, RefusedError
from mlporter.transfer.files import carry_files, open_guarded, unreadable
from mlporter.transfer.left_out import LeftOutCollector
from mlporter.transfer.preflight import MAX_REASONS, misfits
from mlporter.transfer.result import FilesResult, TableResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.artifacts.places import Written
    from mlporter.artifacts.writelog import Stays
    from mlporter.catalogue.types import Table
    from mlporter.progress import OnProgress
    from mlporter.stores.database.target import DatabaseTarget
    from mlporter.stores.protocols import Source
    from mlporter.transfer.plan import Plan
    from mlporter.transfer.rewrite import Rewrite
    from mlporter.transfer.target_files import Bound, TargetFiles

__all__ = ["Load"]

_log = logging.getLogger(__name__)


@dataclass
class Load:
    """One load of a source into a target.

    Attributes:
        source: What is read; read twice, for what was written is compared with it.
        target: An empty database in its transaction.
        plan: What to carry.
        rewrite: New places for artifacts, or None to keep the URIs.
        files: Where the files go, or None to copy none.
    """

    source: Source
    target: DatabaseTarget
    plan: Plan
    rewrite: Rewrite | None
    files: TargetFiles | None
    workers: int
    on_progress: OnProgress
    left_out: LeftOutCollector = field(default_factory=LeftOutCollector)
    notes: list[str] = field(default_factory=list)
    carried: list[TableResult] = field(default_factory=list)
    files_result: FilesResult = field(default_factory=lambda: FilesResult("none"))

    def run(self) -> None:
        """Check, write, read back, copy files, commit; undo everything if any of it fails.

        The artifact root is made first: one that cannot be is found before hours of work.
        """
        try:
            self._check()
            if self.files is not None:
                self.files.prepare()
            self._write()
            self.target.finish()
            self._read_back()
            self._copy_files()
            self.target.commit()
        except BaseException as error:
            if self.target.rollback() and self.files is not None:
                _say_what_stays(error, self.files.undo())
            raise

    def _rows(self, table: Table) -> Iterator[pa.RecordBatch]:
        names = tuple(table.schema.names)
        batches = self.source.read(table.name, names)
        return self.rewrite.apply(table, batches) if self.rewrite else batches

    def _counted(self, step: str, table: Table) -> Iterator[pa.RecordBatch]:
        total = self.source.count(table.name)
        done = 0
        for batch in self._rows(table):
            yield batch
            done += batch.num_rows
            self.on_progress(f"{step} {table.name}", done, total)

    def _check(self) -> None:
        """Refuse what the target would not take, all reasons together."""
        if not self.target.enforces_caps:
            return
        reasons: list[str] = []
        for table in self.plan.tables:
            for reason in misfits(table, self._counted("checking", table)):
                reasons.append(reason)
                if len(reasons) >= MAX_REASONS:
                    break
        if reasons:
            raise RefusedError(
                "the target cannot hold some values as they are",
                subject=str(self.target.address),
                hint="shorten or mend them in the source, or import into SQLite",
                reasons=tuple(reasons[:MAX_REASONS]),
            )

    def _write(self) -> None:
        self.target.replace_fresh(experiments=self.source.count("experiments") > 0)
        for table in self.plan.tables:
            expected = self.source.count(table.name)
            rows = self.target.write(table, self._counted("writing", table), expected)
            self.carried.append(TableResult(table.name, rows))
        self.carried += [
            TableResult(name, 0, skipped=rows) for name, rows in self.plan.skipped.items()
        ]
        for item in self.plan.left_out:
            self.left_out.add(item)

    def _read_back(self) -> None:
        """Compare what the target now holds with what was sent, value by value."""
        for table in self.plan.tables:
            sent = self._counted("reading back", table)
            difference = same_rows(
                table, sent, self.target.read(table), signed_zeros=self.target.enforces_caps
            )
            if difference is not None:
                raise ReadBackError(
                    f"read back something else than was written: {difference}",
                    subject=f"{self.target.address} table {table.name}",
                    hint="nothing was kept; please report this with the row's values",
                )

    def _copy_files(self) -> None:
        files = self.files
        if files is None:
            return

        def carry(bound: Bound) -> Written:
            return files.put(bound, lambda: open_guarded(self.source, bound.file))

        def unread(bound: Bound, why: str) -> None:
            self.left_out.add(unreadable(bound.file, why))

        bounds = files.bind(self.source.files(self.left_out.add))
        count = size = there = stored = 0
        for bound, written in carry_files(bounds, carry, unread, workers=self.workers):
            files.landed(bound, written)
            count += 1
            size += bound.file.size
            there += not written.created
            stored += written.size if written.created else 0
            self.on_progress("copying artifacts", size, None, "bytes")
        files.settle()
        self.files_result = FilesResult("copy", count, size, there, count - there, stored)


def _say_what_stays(error: BaseException, stays: list[Stays]) -> None:
    """Files that a rollback could not remove again are part of what went wrong."""
    lines = [f"was written and could not be removed: {stay.where}: {stay.why}" for stay in stays]
    for line in lines:
        _log.warning(line)
    if isinstance(error, MlporterError):
        error.reasons = (*error.reasons, *lines[:MAX_REASONS])
