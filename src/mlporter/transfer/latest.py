"""The latest metrics that a target will be given, held against those that the source has.

`latest_metrics` is derived: for each run and key the metric that is greatest by step, timestamp
and value. In a sound database it is what `metrics` says. Where it is not (a store migrated by
another tool, rows deleted by hand), MLflow shows other numbers after a move than before, and
nobody must learn that by surprise.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.compare.merge import compare_streams
from mlporter.errors import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Source

__all__ = ["LatestMetrics", "last_of_each_group"]

_GROUP = ("run_uuid", "key")


class LatestMetrics:
    """Watches metrics go by, and keeps the latest of each run and key in a temporary file."""

    def __init__(self, latest: Table) -> None:
        self._table = latest
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass on all metrics, sorted by the key of their table."""
        schema = self._table.schema
        # Not a context manager: left early, it would write an end into a file that is closed.
        spool = pa.ipc.new_stream(self._file, schema)
        pending: pa.RecordBatch | None = None
        for batch in batches:
            yield batch
            rows = batch.select(schema.names).cast(schema)
            latest, pending = last_of_each_group(pending, rows)
            spool.write_batch(latest)
        if pending is not None:
            spool.write_batch(pending)
        spool.close()

    def differences(self, source: Source) -> LeftOut | None:
        """What of the source's own latest metrics the target will show differently."""
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as spool:
            counts = compare_streams(
                self._table, source.read(self._table.name), iter(spool), lambda _: None, limit=0
            )
        if not counts.different:
            return None
        sentence = (
            f"{counts.different} of the source's latest metrics are not what its metrics say; "
            "the target's are computed from the metrics"
        )
        return LeftOut("table", self._table.name, "", "derived", sentence)


def last_of_each_group(
    pending: pa.RecordBatch | None, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, pa.RecordBatch | None]:
    """The last rows of every run and key but the last, and that one, which may go on.

    Args:
        pending: The row that the batches before ended with.
        batch: The next rows, sorted by run, key, step, timestamp and value.
    """
    rows = batch if pending is None else pa.concat_batches([pending, batch])
    if not rows.num_rows:
        return rows, None
    here, following = rows.slice(0, rows.num_rows - 1), rows.slice(1)
    ends = [pc.not_equal(here[name], following[name]) for name in _GROUP]
    return here.filter(pc.or_(*ends)), rows.slice(rows.num_rows - 1)
