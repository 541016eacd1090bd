"""The latest metrics that a target is given, computed while the metrics go by.

`latest_metrics` is derived: for each run and key the metric that is greatest by step, timestamp
and value. In a sound database it is what `metrics` says. Where it is not (a store migrated by
another tool, rows deleted by hand), MLflow shows other numbers after a move than before, and
nobody must learn that by surprise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.rows import joined
from mlporter.compare.rows.streams import compare_streams
from mlporter.errors import LeftOut
from mlporter.stores.rows.spool import RowSpool
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Among, Source

__all__ = ["INCONSISTENT", "LatestMetrics", "last_of_each_group"]

INCONSISTENT = "inconsistent"
"""The reason for which an entry names them. That the table is rebuilt is another one: always."""

_GROUP = ("run_uuid", "key")


class LatestMetrics:
    """Watches metrics go by, and keeps the latest of each run and key in a temporary file.

    MLflow keeps, for each run and key, the metric that is greatest by step, timestamp and value; a
    NaN is stored as value 0 (mlflow.store.tracking.sqlalchemy_store, `_update_latest_metrics`).

    Attributes:
        count: How many there are, once all metrics have gone by.
    """

    def __init__(self, latest: Table, skip: frozenset[str] = frozenset()) -> None:
        """Keep those of all runs but of some.

        Args:
            latest: The table of latest metrics.
            skip: Runs of which only some points go by.
        """
        self._skip = pa.array(sorted(skip), pa.string())
        self.table = latest
        self.count = 0
        self._kept = RowSpool()

    def close(self) -> None:
        """Forget everything."""
        self._kept.close()

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass on all metrics, sorted by the key of their table."""
        schema = self.table.schema
        pending: pa.RecordBatch | None = None
        for batch in batches:
            yield batch
            rows = batch.select(schema.names).cast(schema)
            if len(self._skip):
                partial = pc.is_in(rows.column("run_uuid"), value_set=self._skip)
                rows = rows.filter(pc.invert(partial))
                if not rows.num_rows:
                    continue
            latest, pending = last_of_each_group(pending, rows)
            self._keep(latest)
        if pending is not None:
            self._keep(pending)
        self._kept.end()

    def _keep(self, rows: pa.RecordBatch) -> None:
        self.count += rows.num_rows
        self._kept.add(rows)

    def read(self) -> Iterator[pa.RecordBatch]:
        """The latest metrics, sorted by the key of their table."""
        return self._kept.read()

    def differences(self, source: Source, among: Among | None = None) -> LeftOut | None:
        """What of the source's own latest metrics the target will show differently.

        Args:
            source: Whose metrics went by.
            among: Those of which runs, if not all did.
        """
        shown = source.read(self.table.name, among=among)
        counts = compare_streams(self.table, shown, self.read(), lambda _: None, limit=0)
        if not counts.different:
            return None
        sentence = (
            f"{plural(counts.different, 'latest metric')} of the source: not what its metrics say; "
            "the target's are computed from the metrics"
        )
        return LeftOut("table", self.table.name, "", INCONSISTENT, sentence)


def last_of_each_group(
    pending: pa.RecordBatch | None, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, pa.RecordBatch | None]:
    """The last rows of every run and key but the last, and that one, which may go on.

    Args:
        pending: The row that the batches before ended with.
        batch: The next rows, sorted by run, key, step, timestamp and value.
    """
    if not batch.num_rows:
        return batch, pending
    here, following = batch.slice(0, batch.num_rows - 1), batch.slice(1)
    ends = [pc.not_equal(here[name], following[name]) for name in _GROUP]
    latest = here.filter(pc.or_(*ends))
    if pending is not None and any(pending[name][0] != batch[name][0] for name in _GROUP):
        latest = joined([pending, latest])
    return latest, batch.slice(batch.num_rows - 1)
