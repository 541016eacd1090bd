"""What of a registry is as it was in an earlier snapshot, and need not be written again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mlporter.bundle.tables.layers import owner_columns
from mlporter.catalogue.tables.own import POINT_MARKS
from mlporter.execute.bundle.changes import changed_owners, marks
from mlporter.stores.protocols import points_by_run
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlporter.bundle.writer import Earlier
    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Source

__all__ = ["ALL", "NOTHING", "Changed", "point_marks", "whose_changed"]

_METRICS = "metrics"
_LATEST = "latest_metrics"
_SMALL = 2_000
"""Rows below which a table that changed is written anew: a layer would hardly be smaller."""
_MOST_LAYERS = 8
"""Layers after which a table is written anew: each is one more part to be read."""

Watch = "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]"


@dataclass(frozen=True)
class Changed:
    """Whose rows of a table changed: all, nobody's, or those of some owners.

    ``was_read``: whether all rows of the source have been read for it.
    """

    owners: frozenset[str] | None
    was_read: bool = False


ALL = Changed(None)
NOTHING = Changed(frozenset())


def whose_changed(
    table: Table,
    read: Callable[[], Iterator[pa.RecordBatch]],
    earlier: Earlier | None,
    *,
    points: RowSpool | None = None,
) -> Changed:
    """Hold a table against an earlier snapshot.

    Args:
        table: Which, as the source has it now.
        read: Reads its rows, or all that tells of the points of metrics.
        earlier: The snapshot.
        points: Marks of the points of each run, where the points themselves are not to be read.
    """
    entry = earlier.entries.get(table.name) if earlier else None
    whose = owner_columns(table)
    if earlier is None or entry is None or not whose:
        return ALL
    then = entry.table(table.name)
    same_shape = then.schema == table.schema and then.key == table.key and then.kind == table.kind
    if not same_shape:
        return ALL
    numbers = pa.types.is_integer(table.by_name[whose[0]].type)
    if points is not None:
        before = earlier.entries.get(POINT_MARKS.name)
        if before is None:
            return ALL
        one = marks(points.read(), whose)
        other = marks(earlier.tables.read(POINT_MARKS), whose)
        found = changed_owners(one, other)
    else:
        one = marks(read(), whose)
        found = changed_owners(one, marks(earlier.tables.read(table), whose), numbers=numbers)
    was_read = points is None
    if found == set():
        return Changed(frozenset(), was_read)
    if found is None or entry.rows < _SMALL or entry.layers >= _MOST_LAYERS:
        return Changed(None, was_read)
    return Changed(frozenset(found), was_read)


def point_marks(source: Source) -> RowSpool | None:
    """How many points each run has and a digest of the latest, if the source tells; by run."""
    counts = points_by_run(source)
    latest = next((table for table in source.tables if table.name == _LATEST), None)
    if counts is None or latest is None:
        return None
    spool = RowSpool()
    for batch in _marked(counts, source.read(_LATEST)):
        spool.add(batch)
    spool.end()
    return spool


def _marked(
    counts: Iterable[pa.RecordBatch], latest: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Rows of ``point_marks``: both are sorted by run."""
    last = marks(latest, ("run_uuid",))
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
