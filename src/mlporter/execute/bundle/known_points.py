"""The points of metrics that are not read: of which runs, and how they are known again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.tables.own import POINT_MARKS
from mlporter.execute.bundle.point_marks import PointsSeen, marked, point_marks, tells_points
from mlporter.execute.bundle.reuse import (
    ALL,
    Changed,
    has_remarks_on_points,
    must_read_points,
    rows_of_owners,
    whose_changed,
)
from mlporter.stores.protocols import remote_source
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.upon_earlier import Earlier
    from mlporter.bundle.writer import BundleWriter
    from mlporter.compare.rows.latest_metrics import LatestMetrics
    from mlporter.execute.findings.remarks import Remarks
    from mlporter.stores.protocols import Source

__all__ = ["KnownPoints", "known_points"]

_METRICS = "metrics"


@dataclass
class KnownPoints:
    """By what the points of each run are known, and which runs have others than before.

    Attributes:
        source: Whose they are.
        earlier: The snapshot that they are held against.
        marks: Rows of ``point_marks``.
        is_counted: Whether they are there: else points are counted as they are read.
        changed: The runs that have other points than before.
        was_told: Whether the earlier snapshot says something of points, which may still hold.
        left: How many points of a server are left where they are.
    """

    source: Source
    earlier: Earlier | None
    marks: RowSpool
    is_counted: bool = True
    changed: Changed = ALL
    was_told: bool = False
    left: int = 0

    def watched(
        self,
        rows: Iterator[pa.RecordBatch],
        latest: LatestMetrics | None,
        remarks: Remarks | None,
    ) -> Iterator[pa.RecordBatch]:
        """Look at the points of runs that have others than before; of all, once they are there."""
        if self.was_told:
            return rows
        if latest is not None:
            rows = latest.watch(rows)
        return rows if remarks is None else remarks.watch_texts(_METRICS, rows)

    def counting(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count all points as they go by, if that is still to be done."""
        if self.is_counted:
            yield from rows
            return
        seen = PointsSeen()
        for batch in rows:
            seen.take(batch)
            yield batch
        for batch in marked(seen.counts(), self.source):
            self.marks.add(batch)
        self.marks.end()
        self.is_counted = True

    def write(self, writer: BundleWriter) -> None:
        """Say by what they are known, for the next backup."""
        if not self.is_counted:
            return  # and no point was read either
        remote = remote_source(self.source)
        if remote is not None and remote.incomplete_histories:
            return  # the next backup reads all points
        changed = whose_changed(POINT_MARKS, self.marks.read, self.earlier)
        if changed.owners is None:
            writer.write_table(POINT_MARKS, self.marks.read())
        elif not changed.owners:
            writer.keep_table(POINT_MARKS)
        else:
            wanted = pa.array(sorted(changed.owners), pa.string())
            kept = (b.filter(pc.is_in(b["run_uuid"], value_set=wanted)) for b in self.marks.read())
            rows = sum(batch.num_rows for batch in self.marks.read())
            some = (batch for batch in kept if batch.num_rows)
            writer.write_layer(POINT_MARKS, some, changed.owners, lambda: rows)

    def close(self) -> None:
        """Free temporary space."""
        self.marks.close()


def known_points(source: Source, earlier: Earlier | None, *, full: bool) -> KnownPoints | None:
    """Look at which runs have other points than before, ere any are counted or read.

    Of a server, those of the others are left where they are.

    Args:
        source: The registry.
        earlier: The snapshot before, if there is one.
        full: All points are read, whatever they are known by.

    Returns:
        None where nothing tells of points but they themselves.
    """
    metrics = next((table for table in source.tables if table.name == _METRICS), None)
    if metrics is None or not tells_points(source):
        return None
    reads_all = earlier is None or full or must_read_points(earlier)
    if reads_all and remote_source(source) is None:
        return KnownPoints(source, earlier, RowSpool(), is_counted=False)
    marks = point_marks(source)
    known = KnownPoints(source, earlier, marks)
    if reads_all or earlier is None:
        return known
    known.changed = changed = whose_changed(metrics, lambda: iter(()), earlier, points=marks)
    known.was_told = changed.owners is not None and has_remarks_on_points(earlier)
    remote = remote_source(source)
    if remote is None or changed.owners is None:
        return known
    same = (
        run
        for batch in marks.read()
        for run in batch.column("run_uuid").to_pylist()
        if run not in changed.owners
    )
    if remote.leave_histories(same):
        there = rows_of_owners(metrics, earlier, changed.owners)
        known.left = earlier.entries[_METRICS].rows - there
    return known
