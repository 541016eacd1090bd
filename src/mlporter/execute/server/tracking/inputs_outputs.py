"""What runs read and made: datasets, and models that went in and came out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.execute.server.shared.repeating import dataset_of
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.execute.server.tracking.run_contents import number
from mlporter.execute.server.tracking.unchanged_runs import take_up
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED, ApiError, reason_of
from mlporter.stores.server.writing.element_fields import ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["write_edges", "write_model_metrics"]

_AT_ONCE = 500
_TRIES = 4


@dataclass
class _Edges:
    """What is missing of one run, as the API takes it."""

    datasets: list[Json] = field(default_factory=list)
    inputs: list[Json] = field(default_factory=list)
    outputs: list[Json] = field(default_factory=list)


def write_edges(context: ServerContext) -> None:
    """Log inputs and outputs that the server's runs lack."""
    if not context.source.count("inputs"):
        return
    with WorkerPool(context.workers) as pool:
        for missing in context.missing("inputs"):
            for at in range(0, missing.rows.num_rows, _AT_ONCE):
                rows = missing.rows.slice(at, _AT_ONCE)
                if missing.changed:
                    _changed(context, rows)
                    continue
                for run, edges in _by_run(context, rows).items():
                    pool.do(partial(_write, context, run, edges))
        # Edges of one run may come in several batches, and are not logged at the same time.


def _changed(context: ServerContext, rows: pa.RecordBatch) -> None:
    for row in rows.to_pylist():
        run = row["source_id"] if row["source_type"].startswith("RUN") else row["destination_id"]
        detail = "the server has this input or output at a different step"
        context.leave("run", run, f"inputs/{row['destination_id']}", "conflict", detail)
        context.skip("inputs")


def _by_run(context: ServerContext, rows: pa.RecordBatch) -> dict[str, _Edges]:
    found: dict[str, _Edges] = defaultdict(_Edges)
    runs, models = context.ids.of("runs"), context.ids.of("logged_models")
    table = rows.to_pylist()
    datasets = _datasets(context, [r for r in table if r["source_type"] == "DATASET"])
    for row in table:
        kind, source, destination = row["source_type"], row["source_id"], row["destination_id"]
        if kind == "DATASET" and destination in runs:
            dataset = datasets.get(row["input_uuid"])
            if dataset is None:
                _lost(context, destination, source, "its dataset is not in the source")
            else:
                found[destination].datasets.append(dataset)
        elif kind in ("RUN_INPUT", "RUN_OUTPUT") and source in runs:
            model = models.get(destination)
            if model is None:
                _lost(
                    context,
                    source,
                    destination,
                    "its logged model is not in the source, or not copied",
                )
            elif kind == "RUN_INPUT":
                found[source].inputs.append({"model_id": model})
            else:
                found[source].outputs.append({"model_id": model, "step": row["step"]})
    return found


def _lost(context: ServerContext, run: str, what: str, why: str) -> None:
    context.leave("run", run, f"inputs/{what}", "dangling", why)
    context.skip("inputs")


_DATASET = ("dataset_uuid", "name", "digest", "dataset_source_type", "dataset_source",
            "dataset_schema", "dataset_profile")  # fmt: skip


def _datasets(context: ServerContext, rows: list[dict[str, Any]]) -> dict[str, Json]:
    """By the ids of edges: the dataset at one end with the edge's tags, as the API takes it."""
    if not rows:
        return {}
    wanted = tuple(sorted({row["source_id"] for row in rows}))
    datasets: dict[str, Json] = {}
    for found in _mapped(context, "datasets", Among("dataset_uuid", wanted), _DATASET):
        datasets[found["dataset_uuid"]] = dataset_of(found)
    tags: dict[str, list[Json]] = defaultdict(list)
    edges = tuple(sorted(row["input_uuid"] for row in rows))
    for found in _mapped(context, "input_tags", Among("input_uuid", edges)):
        tags[found["input_uuid"]].append({"key": found["name"], "value": found["value"]})
    return {
        row["input_uuid"]: {
            "dataset": dict(datasets[row["source_id"]]),
            "tags": tags[row["input_uuid"]],
        }
        for row in rows
        if row["source_id"] in datasets
    }


def _mapped(
    context: ServerContext, table: str, among: Among, columns: tuple[str, ...] | None = None
) -> Iterator[dict[str, Any]]:
    if table in context.tables:
        for batch in context.source.read(table, columns, among):
            yield from context.mapped(table, batch).to_pylist()


def _write(context: ServerContext, run: str, edges: _Edges) -> None:
    writer, copy = context.writer_of_run(run)
    context.wake(run)
    answer = {
        "inputs": {"dataset_inputs": edges.datasets, "model_inputs": edges.inputs},
        "outputs": {"model_outputs": edges.outputs},
    }
    context.along.put_into(answer, "runs", context.ids, run)
    try:
        if edges.datasets or edges.inputs:
            _log_inputs(writer, copy, edges)
            context.wrote("inputs", len(edges.datasets) + len(edges.inputs))
            context.wrote("input_tags", sum(len(one["tags"]) for one in edges.datasets))
        for output in edges.outputs:
            writer.log_output(copy, output)
            context.wrote("inputs")
    except REFUSED as error:
        context.leave("run", run, "inputs", reason_of(error), error.message)
        context.fail("inputs")


def _log_inputs(writer: Writer, run: str, edges: _Edges) -> None:
    """Log inputs; two runs may bring the same new dataset at once, which MLflow does not expect."""
    for _ in range(_TRIES - 1):
        if _are_taken(writer, run, edges):
            return
    writer.log_inputs(run, edges.datasets, edges.inputs)


def _are_taken(writer: Writer, run: str, edges: _Edges) -> bool:
    """Log inputs; False if another request made the same dataset meanwhile."""
    try:
        writer.log_inputs(run, edges.datasets, edges.inputs)
    except ApiError as error:
        if "IntegrityError" in error.message or "UniqueViolation" in error.message:
            return False
        raise
    return True


# --- Metrics of logged models ---------------------------------------------------------------------


def write_model_metrics(context: ServerContext) -> None:
    """Tie points of runs to logged models: they are sent once more with the model's id.

    The server has the points already, and makes no second ones.
    """
    models = context.ids.of("logged_models")
    with WorkerPool(context.workers) as pool:
        for missing in context.missing("logged_model_metrics"):
            rows = context.carried(missing.rows, "model_id", "logged_models")
            rows = context.carried(rows, "run_id", "runs")
            for at in range(0, rows.num_rows, _AT_ONCE):
                part = rows.slice(at, _AT_ONCE).to_pylist()
                unknown = _not_numbers(context, part)
                by_run: dict[str, list[Json]] = defaultdict(list)
                for row in part:
                    more = context.along.inside("logged_models", row["model_id"])
                    point = _point(row, models[row["model_id"]], unknown)
                    called = ELEMENTS["logged_models", "data.metrics"].called(row)
                    by_run[row["run_id"]].append(
                        {**more.get(("data.metrics", called), {}), **point}
                    )
                for run, points in by_run.items():
                    pool.do(partial(_log_points, context, run, points), run)


def _log_points(context: ServerContext, run: str, points: list[Json]) -> None:
    writer, copy = context.writer_of_run(run)
    context.wake(run)
    try:
        writer.log_batch(copy, {"metrics": points})
        context.wrote("logged_model_metrics", len(points))
    except REFUSED as error:
        context.leave("run", run, "logged_model_metrics", reason_of(error), error.message)
        context.fail("logged_model_metrics", len(points))


def _point(row: dict[str, Any], model: str, unknown: set[tuple[Any, ...]]) -> Json:
    name, step, time = row["metric_name"], row["metric_step"], row["metric_timestamp_ms"]
    is_nan = (row["run_id"], name, step, time) in unknown
    point: Json = {
        "key": name,
        "value": number(row["metric_value"] or 0.0, is_nan=is_nan),
        "timestamp": time,
        "step": step,
        "model_id": model,
    }
    for key in ("dataset_name", "dataset_digest"):
        if row[key] is not None:
            point[key] = row[key]
    return point


def _not_numbers(context: ServerContext, rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Points that are not a number, which a logged model keeps as 0: the run tells."""
    runs = tuple(sorted({row["run_id"] for row in rows if not row["metric_value"]}))
    if not runs:
        return set()
    take_up(context, runs)
    columns = ("run_uuid", "key", "step", "timestamp", "is_nan")
    return {
        (run, key, step, time)
        for batch in context.source.read("metrics", columns, Among("run_uuid", runs))
        for run, key, step, time, is_nan in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        )
        if is_nan
    }
