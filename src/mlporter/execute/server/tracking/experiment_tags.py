"""Tags of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.catalogue import source_tags
from mlporter.execute.server.worker_pool import WorkerPool
from mlporter.stores.rest.answers import REFUSED, reason_of

if TYPE_CHECKING:
    from mlporter.execute.server.context import ServerContext
    from mlporter.execute.server.matching import Matching

__all__ = ["write_experiment_tags"]


def write_experiment_tags(context: ServerContext, matching: Matching) -> None:
    """Set tags; those of experiments that others made stay as they are (they were checked)."""

    def write(row: dict[str, Any]) -> None:
        writer, home = context.writer_in(row["original"])
        try:
            writer.set_experiment_tag(home, row["key"], row["value"] or "")
            context.wrote("experiment_tags")
        except REFUSED as error:
            context.leave(
                "experiment", str(row["original"]), row["key"], reason_of(error), error.message
            )
            context.fail("experiment_tags")

    with WorkerPool(context.workers) as pool:
        for missing in context.missing("experiment_tags"):
            rows = missing.rows.filter(_carried(missing.rows, matching))
            originals = rows.column("experiment_id").to_pylist()
            mapped = context.mapped("experiment_tags", rows).to_pylist()
            pool.each(
                (
                    {**row, "original": number}
                    for row, number in zip(mapped, originals, strict=True)
                ),
                write,
            )


def _carried(rows: Any, matching: Matching) -> Any:  # noqa: ANN401 -- a batch and a mask
    import pyarrow as pa  # noqa: PLC0415 -- of this function only

    pairs = zip(*(rows.column(name).to_pylist() for name in ("experiment_id", "key")), strict=True)
    # What was proved of a copy is not proved of its copy.
    keep = [number in matching.matches and key != source_tags.METRICS for number, key in pairs]
    return pa.array(keep, pa.bool_())
