"""The very last step: what the source has no more is removed, rows first and then things."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.execute.server.shared.objects import try_one
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.three_sides.row import RowPlan
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["remove_rows", "remove_units"]


def remove_rows(context: ServerContext, plan: RowPlan) -> None:
    """Remove tags and aliases that the source has no more."""
    for table, rows in plan.removals.items():
        for columns, key in rows:
            row = dict(zip(columns, key, strict=True))
            try_one(context, table, "/".join(map(str, key)), _row(context, table, row), changed=1)


def _row(context: ServerContext, table: str, row: dict[str, Any]) -> Callable[[], object]:
    """What removes a row, by the source's ids; the plan holds none that nothing removes."""
    if table == "tags":
        return partial(_run_tag, context, row["run_uuid"], row["key"])
    if table == "logged_model_tags":
        writer, model = context.writer_of_model(row["model_id"])
        return lambda: writer.delete_logged_model_tag(model, row["tag_key"])
    if table == "experiment_tags":
        writer, number = context.writer_in(row["experiment_id"])
        return lambda: writer.delete_experiment_tag(number, row["key"])
    if table == "trace_tags":
        writer = _writer_of_trace(context, row["request_id"])
        return lambda: writer.delete_trace_tag(row["request_id"], row["key"])
    return _row_of_model(context, table, row)


def _run_tag(context: ServerContext, run: str, key: str) -> None:
    writer, copy = context.writer_of_run(run)
    context.wake(run)
    writer.delete_tag(copy, key)


def _row_of_model(context: ServerContext, table: str, row: dict[str, Any]) -> Callable[[], object]:
    writer, name = _model(context, row.get("workspace") or "default", row["name"])
    if table == "registered_model_aliases":
        return lambda: writer.delete_alias(name, row["alias"])
    if table == "registered_model_tags":
        return lambda: writer.delete_registered_model_tag(name, row["key"])
    return lambda: writer.delete_model_version_tag(name, row["version"], row["key"])


def _model(context: ServerContext, workspace: str, name: str) -> tuple[Writer, str]:
    ids = context.ids
    return context.writer_of(ids.workspace(workspace)), ids.model(workspace, name)


def _writer_of_trace(context: ServerContext, trace: str) -> Writer:
    columns = ("request_id", "experiment_id")
    experiments = dict(rows_of(context.source, "trace_info", columns))
    return context.writer_in(experiments[trace])[0]


def remove_units(context: ServerContext, doomed: Iterable[tuple[str, str]]) -> None:
    """Delete what the source has no more, as MLflow does: runs and experiments into its trash."""
    found = list(doomed)
    if not found:
        return
    copies = context.all_copies
    there = {
        kind: {new: old for old, new in copies.ids.of(kind).items()}
        for kind in ("runs", "logged_models")
    }
    numbers = {new: old for old, new in copies.ids.experiments.items()}
    for kind, key in found:
        if kind == "experiments":
            remove = _experiment(context, numbers[int(key)])
        elif kind in there:
            remove = _owned(context, kind, there[kind][key])
        elif kind == "trace_info":
            remove = _trace(context, key)
        else:
            remove = _registered(context, kind, key)
        try_one(context, kind, key.replace("\x1f", "/"), remove, changed=1)


def _experiment(context: ServerContext, number: int) -> Callable[[], object]:
    writer = context.writer_of(_workspace_of(context, number))
    return lambda: writer.delete_experiment(number)


def _owned(context: ServerContext, kind: str, copy: str) -> Callable[[], object]:
    column = "run_uuid" if kind == "runs" else "model_id"
    homes = dict(rows_of(context.server, kind, (column, "experiment_id")))
    writer = context.writer_of(_workspace_of(context, homes[copy]))
    if kind == "runs":
        return lambda: writer.delete_run(copy)
    return lambda: writer.delete_logged_model(copy)


def _trace(context: ServerContext, trace: str) -> Callable[[], object]:
    homes = dict(rows_of(context.server, "trace_info", ("request_id", "experiment_id")))
    number = homes[trace]
    writer = context.writer_of(_workspace_of(context, number))
    return lambda: writer.delete_traces(number, [trace])


def _registered(context: ServerContext, kind: str, key: str) -> Callable[[], object]:
    workspace, model, *version = key.split("\x1f")
    writer, name = _model(context, workspace, model)
    if kind == "registered_models":
        return lambda: writer.delete_registered_model(name)
    return lambda: writer.delete_model_version(name, int(version[0]))


def _workspace_of(context: ServerContext, number: int) -> str:
    columns = ("experiment_id", "workspace")
    found = dict(rows_of(context.server, "experiments", columns))
    return found.get(number) or "default"
