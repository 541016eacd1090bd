"""By what the points of a run are known again, without reading them: rows of ``point_marks``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.tables.own import POINT_MARKS
from mlporter.execute.bundle.changes import marks
from mlporter.execute.server.tracking.unchanged_runs import looks_of
from mlporter.stores.protocols import points_by_run, remote_source
from mlporter.stores.rows.point_counts import POINTS
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.stores.protocols import Source

__all__ = ["PointsSeen", "marked", "point_marks", "tells_points"]

_LATEST = "latest_metrics"


def tells_points(source: Source) -> bool:
    """Whether a source tells of its points without giving them."""
    if remote_source(source) is not None:
        return True
    has_latest = any(table.name == _LATEST for table in source.tables)
    return has_latest and points_by_run(source) is not None


def point_marks(source: Source) -> RowSpool:
    """Ask a source that `tells_points`.

    A database tells how many there are and which are the latest. A server shows all of a run but
    its points, the latest excepted: so it is a digest of that, of a run that is not at work.
    """
    is_remote = remote_source(source) is not None
    spool = RowSpool()
    for batch in _looks(source) if is_remote else marked(points_by_run(source) or (), source):
        spool.add(batch)
    spool.end()
    return spool


class PointsSeen:
    """Counts the points of each run, of rows of ``metrics`` that are sorted by run."""

    def __init__(self) -> None:
        """None was seen yet."""
        self._counts: list[pa.RecordBatch] = []
        self._last: tuple[str, int] | None = None

    def take(self, batch: pa.RecordBatch) -> None:
        """Look at the next rows."""
        if not batch.num_rows:
            return
        runs = batch.column(batch.schema.get_field_index("run_uuid"))
        differs = pc.not_equal(runs.slice(1), runs.slice(0, len(runs) - 1))
        starts = np.concatenate(([0], np.flatnonzero(np.asarray(differs)) + 1))
        names = runs.take(pa.array(starts)).to_pylist()
        points = np.diff(np.append(starts, len(runs))).tolist()
        if self._last is not None and self._last[0] == names[0]:
            points[0] += self._last[1]
        elif self._last is not None:
            names.insert(0, self._last[0])
            points.insert(0, self._last[1])
        self._last = names.pop(), points.pop()
        self._add(names, points)

    def _add(self, names: list[str], points: list[int]) -> None:
        if names:
            self._counts.append(
                pa.RecordBatch.from_pydict(
                    {"run_uuid": names, "points": points}, schema=POINTS.schema
                )
            )

    def counts(self) -> list[pa.RecordBatch]:
        """Rows as `points_by_run` gives them, now that all were seen."""
        if self._last is not None:
            self._add([self._last[0]], [self._last[1]])
            self._last = None
        return self._counts


def marked(counts: Iterable[pa.RecordBatch], source: Source) -> Iterator[pa.RecordBatch]:
    """Rows of ``point_marks`` of a database, of how many points each run has; sorted by run."""
    last = marks(source.read(_LATEST), ("run_uuid",))
    mark = next(last, None)
    for batch in counts:
        digests = np.zeros(batch.num_rows, np.uint64)
        for at, run in enumerate(batch.column("run_uuid").to_pylist()):
            while mark is not None and mark.owner < run:
                mark = next(last, None)
            if mark is not None and mark.owner == run:
                digests[at] = mark.digest
        columns = [batch.column("run_uuid"), batch.column("points"), pa.array(digests)]
        yield pa.RecordBatch.from_arrays(columns, schema=POINT_MARKS.schema)


def _looks(source: Source) -> Iterator[pa.RecordBatch]:
    """Rows of ``point_marks`` of a server's runs."""
    looks = looks_of(source)
    now = time.time_ns()  # of a run at work: never again the same
    for batch in source.read("runs", ("run_uuid",)):
        runs = batch.column(0).to_pylist()
        columns = [
            batch.column(0),
            pa.array([0 if run in looks else now for run in runs], pa.int64()),
            pa.array([looks.get(run, 0) % 2**64 for run in runs], pa.uint64()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=POINT_MARKS.schema)
