"""Parameters, tags and metrics of runs, in few requests; and tags of experiments."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue import BY_NAME, source_tags
from mlporter.execute.server.shared.allowed_names import LONGEST_TAG, REFUSED_NAME, is_taken
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.execute.server.tracking.receipts import read_receipts
from mlporter.stores.rest.answers import REFUSED, DeniedError, reason_of
from mlporter.stores.rows.unknown_fields import row_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlporter.execute.server.planning.matching import Matching
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["LONGEST_PARAM", "LONGEST_TAG", "number", "write_contents", "write_experiment_tags"]

LONGEST_PARAM = 6000
"""Characters; a server cuts longer ones in silence."""

_MOST = {"metrics": 1000, "params": 100, "tags": 100}
"""Of a request, by MLflow's limits (mlflow.utils.validation)."""
_TOGETHER = 1000
_USER = "mlflow.user"
"""A tag that Databricks sets itself."""
_LONGEST = {"params": LONGEST_PARAM, "tags": LONGEST_TAG}

Piece = tuple[str, int, str, pa.RecordBatch]
"""A run; which table comes first; the table; some rows of it."""


def write_contents(context: ServerContext) -> None:
    """Log what of parameters, tags and metrics the server's runs lack."""
    streams = [
        _pieces(context, at, table) for at, table in enumerate(("params", "tags", "metrics"))
    ]
    read_receipts(context)
    _ = context.asleep  # read before there are threads
    with WorkerPool(context.workers) as pool:
        batch = _Batch("")
        for run, _, table, rows in heapq.merge(*streams, key=lambda piece: piece[:2]):
            if run != batch.run:
                _send(context, pool, batch)
                batch = _Batch(run)
            for item in _items(context, table, rows):
                context.wake(run)
                if not batch.has_room(table):
                    _send(context, pool, batch)
                    batch = _Batch(run)
                batch.add(table, item)
        _send(context, pool, batch)


@dataclass
class _Batch:
    """What goes to a run in one request."""

    run: str
    items: dict[str, list[Json]] = field(
        default_factory=lambda: {"metrics": [], "params": [], "tags": []}
    )
    total: int = 0

    def has_room(self, table: str) -> bool:
        """Whether one more row may go with it."""
        return self.total < _TOGETHER and len(self.items[table]) < _MOST[table]

    def add(self, table: str, item: Json) -> None:
        """One more."""
        self.items[table].append(item)
        self.total += 1


def _pieces(context: ServerContext, at: int, table: str) -> Iterator[Piece]:
    """Rows that the server lacks, cut where the run changes."""
    for missing in context.missing(table):
        rows = context.carried(missing.rows, "run_uuid", "runs")
        if table == "params" and missing.changed:
            _immutable(context, rows)
            continue
        if not rows.num_rows:
            continue
        runs = rows.column(rows.schema.get_field_index("run_uuid"))
        ends = pc.run_end_encode(runs)
        start = 0
        for end, run in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            if table == "metrics":
                context.lacking.add(run)
            yield run, at, table, rows.slice(start, end - start)
            start = end


def _immutable(context: ServerContext, rows: pa.RecordBatch) -> None:
    for row in rows.to_pylist():
        detail = "the server has a different value of this parameter, which MLflow does not change"
        context.leave("run", row["run_uuid"], f"params/{row['key']}", "conflict", detail)
        context.skip("params")


def _items(context: ServerContext, table: str, rows: pa.RecordBatch) -> Iterator[Json]:
    rows = _takeable(context, table, rows)
    found = context.mapped(table, rows).to_pylist()
    more = _fields_along(context, table, rows)
    if table == "metrics":
        # Rows come by key and time. The last first: of each point that is later than the one
        # before, the server makes the last of its metric again, which takes a fifth of its time.
        for row, fields in zip(reversed(found), reversed(more), strict=True):
            value = number(row["value"], is_nan=row["is_nan"])
            yield {**fields, "key": row["key"], "value": value, "timestamp": row["timestamp"],
                   "step": row["step"]}  # fmt: skip
        return
    runs = rows.column("run_uuid").to_pylist()
    for run, row, fields in zip(runs, found, more, strict=True):
        value = row["value"] or ""
        if table == "tags" and row["key"] == _USER and context.is_databricks:
            context.skip(table)
        elif table == "tags" and (run, row["key"]) in context.sent_tags:
            context.wrote(table)
        elif len(value) > _LONGEST[table]:
            most = _LONGEST[table]
            detail = f"{len(value)} characters, and a server would cut it at {most}"
            context.leave("run", run, f"{table}/{row['key']}", "too-long", detail)
            context.fail(table)
        else:
            yield {**fields, "key": row["key"], "value": value}


def _fields_along(context: ServerContext, table: str, rows: pa.RecordBatch) -> list[Json]:
    """Of each row of a run, what a newer MLflow says of it beside: that is taken now or never."""
    if not context.along.has_any or not rows.num_rows:
        return [{}] * rows.num_rows
    if table == "metrics":
        keys = rows.select(list(BY_NAME[table].key))
        return [context.along.named(table, *key) for key in row_keys(keys)]
    inside = context.along.inside("runs", rows.column("run_uuid")[0].as_py())
    return [inside.get((f"data.{table}", key), {}) for key in rows.column("key").to_pylist()]


def _takeable(context: ServerContext, table: str, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows without those that are known to be refused, where trying is not what it takes.

    A plan says what would come of it, and a deleted run is not restored for nothing.
    """
    if context.is_databricks:
        return rows
    pairs = zip(rows.column("run_uuid").to_pylist(), rows.column("key").to_pylist(), strict=True)
    keep = [_is_tried(context, run, key) for run, key in pairs]
    if all(keep):
        return rows
    refused = rows.filter(pa.array([not tried for tried in keep], pa.bool_()))
    for run, key in sorted({(row["run_uuid"], row["key"]) for row in refused.to_pylist()}):
        context.leave("run", run, f"{table}/{key}", "refused", REFUSED_NAME)
    context.fail(table, refused.num_rows)
    return rows.filter(pa.array(keep, pa.bool_()))


def _is_tried(context: ServerContext, run: str, key: str) -> bool:
    tried = not context.rehearsed and run not in context.asleep
    return tried or (run, key) in context.sent_tags or is_taken(key)


def number(value: float, *, is_nan: bool = False) -> float | str:
    """A metric's value as JSON takes it."""
    return "NaN" if is_nan or value != value else value  # noqa: PLR0124 -- NaN is not itself


def _send(context: ServerContext, pool: WorkerPool, batch: _Batch) -> None:
    if batch.total:
        writer, run = context.writer_of_run(batch.run)
        pool.do(partial(_log, context, writer, run, batch), batch.run)


def _log(context: ServerContext, writer: Writer, run: str, batch: _Batch) -> None:
    def refused(kind: str, item: Json, reason: str, why: str) -> None:
        context.leave("run", batch.run, f"{kind}/{item['key']}", reason, why)
        context.fail(kind)

    for kind, count in send_or_split(batch.items, partial(writer.log_batch, run), refused).items():
        context.wrote(kind, count)


def send_or_split(
    items: dict[str, list[Json]],
    send: Callable[[dict[str, list[Json]]], None],
    refused: Callable[[str, Json, str, str], None],
) -> dict[str, int]:
    """Send items together; where the server refuses one, the others all the same.

    Where it does not allow it at all, the others are not tried: it would say the same of each.

    Returns:
        How many of each kind were taken.
    """
    try:
        send({kind: found for kind, found in items.items() if found})
    except REFUSED as error:
        flat = [(kind, item) for kind, found in items.items() for item in found]
        if len(flat) == 1 or isinstance(error, DeniedError):
            for kind, item in flat:
                refused(kind, item, reason_of(error), error.message)
            return {}
        middle = len(flat) // 2
        taken: dict[str, int] = {}
        for half in (flat[:middle], flat[middle:]):
            for kind, count in send_or_split(_by_kind(half), send, refused).items():
                taken[kind] = taken.get(kind, 0) + count
        return taken
    return {kind: len(found) for kind, found in items.items() if found}


def _by_kind(flat: Sequence[tuple[str, Json]]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for kind, item in flat:
        found.setdefault(kind, []).append(item)
    return found


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
