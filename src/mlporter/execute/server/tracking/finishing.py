"""The last steps: runs are ended when all of them is there, and what is deleted is deleted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlporter.catalogue import source_tags
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import REFUSED, reason_of
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.execute.server.planning.matching import Matching
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.execute.server.shared.objects import Row
    from mlporter.stores.rest.client import Json
    from mlporter.stores.server.writing.writer import Writer

__all__ = ["delete_last", "end_runs", "run_changes"]


def end_runs(context: ServerContext) -> None:
    """Set status, end and name of runs that differ in them: new ones, and those that went on."""

    def end(work: tuple[Row, Row | None]) -> None:
        row, there = work
        run, changes = row["run_uuid"], run_changes(row, there)
        _tell_fixed(context, row, there)
        if there is not None and not changes:
            return
        writer, copy = context.writer_of_run(run)
        context.wake(run)
        try:
            writer.update_run(copy, changes)
            context.wrote("runs")
        except REFUSED as error:
            context.leave("run", run, "", reason_of(error), error.message)
            context.fail("runs")

    with WorkerPool(context.workers) as pool:
        for missing in context.missing("runs", leave=frozenset({"lifecycle_stage"})):
            rows = context.carried(missing.rows, "run_uuid", "runs").to_pylist()
            there = _there(context, rows) if missing.changed else {}
            pool.each(((row, there.get(row["run_uuid"])) for row in rows), end)


_FIXED = ("user_id", "start_time")
"""Of a run: what only the request that makes it says."""


def run_changes(row: Row, there: Row | None) -> Json:
    """What is to be changed of a run, as the API takes it.

    Args:
        row: The run.
        there: What the server has; None where it was made just now.
    """
    wanted = {
        "status": row["status"] or "RUNNING",
        "end_time": row["end_time"],
        "run_name": row["name"] or None,
    }
    has = {} if there is None else {**there, "run_name": there["name"]}
    return {
        key: value for key, value in wanted.items() if value is not None and value != has.get(key)
    }


def _tell_fixed(context: ServerContext, row: Row, there: Row | None) -> None:
    """Say in what a run differs that no server can be told."""
    run, conflicts = row["run_uuid"], []
    if not row["name"]:
        detail = "it has no name, so the server gives it one"
        context.leave("run", run, "", "renamed", detail, expected=True)
    if row["start_time"] is None:
        detail = "it has no start time, so the server uses 0"
        context.leave("run", run, "", "unsupported", detail, expected=True)
    if there is None:
        return
    if row["end_time"] is None and there["end_time"] is not None:
        conflicts.append("end_time")
    conflicts += [name for name in _FIXED if (row[name] or None) != (there[name] or None)]
    if context.is_databricks and "user_id" in conflicts:
        conflicts.remove("user_id")
    changed = bool(run_changes(row, there))
    if conflicts:
        detail = f"the server has another {' and '.join(conflicts)}, which MLflow does not change"
        context.leave("run", run, "", "conflict", detail)
        context.fail("runs", 0 if changed else 1)
    elif not changed:
        context.tell_there("runs")


def _there(context: ServerContext, rows: list[Row]) -> dict[str, Row]:
    """Runs as the server had them at the start, by the source's ids."""
    columns = ("run_uuid", "status", "end_time", "name", *_FIXED)
    among = Among("run_uuid", tuple(sorted(row["run_uuid"] for row in rows)))
    found = context.there.read("runs", columns, among)
    return {row["run_uuid"]: row for batch in found for row in batch.to_pylist()}


def delete_last(context: ServerContext, matching: Matching) -> set[str]:
    """Delete what is deleted in the source: logged models, experiments, runs.

    Deleting an experiment deletes its runs; those that are active all the same are restored.

    Returns:
        The runs (the source's ids) that were deleted.
    """
    _delete_models(context)
    gone = _delete_experiments(context, matching)
    deleted: set[str] = set()
    with WorkerPool(context.workers) as pool:
        pool.each(_changes(context, gone, deleted), lambda change: change())
    return deleted


def _changes(
    context: ServerContext, gone: set[int], deleted: set[str]
) -> Iterator[Callable[[], object]]:
    """Deletions and restorations of runs; notes which are deleted."""
    known, there = context.ids.of("runs"), context.asleep
    for run, stage, experiment in rows_of(
        context.source, "runs", ("run_uuid", "lifecycle_stage", "experiment_id")
    ):
        if run not in known:
            continue
        is_deleted = (run in there and run not in context.restored_runs) or experiment in gone
        writer, copy = context.writer_of_run(run)
        if stage == "deleted":
            deleted.update({run} if run not in there or run in context.restored_runs else ())
        if (stage == "deleted") != is_deleted:
            is_as_before = run in context.fresh or (
                stage == "deleted" and run in context.restored_runs
            )
            rows = 0 if is_as_before else 1
            context.wrote("runs", rows, changed=rows)
            change = partial(writer.restore_run if is_deleted else writer.delete_run, copy)
            yield partial(context.attempt, "runs", run, change)


def _delete_models(context: ServerContext) -> None:
    """Delete logged models; as a server does not list those, their ids are noted before."""
    columns = ("model_id", "lifecycle_stage", "experiment_id")
    for model, stage, experiment in rows_of(context.source, "logged_models", columns):
        copy = context.ids.of("logged_models").get(model)
        if stage == "deleted" and copy is not None and model not in context.deleted_models:
            writer, home = context.writer_in(experiment)
            delete = partial(_delete_model, writer, home, model, copy)
            if context.attempt("logged_models", model, delete):
                context.deleted_models.add(model)


def _delete_model(writer: Writer, home: int, model: str, copy: str) -> None:
    writer.set_experiment_tag(home, f"{source_tags.DELETED_MODEL}{model}", copy)
    writer.delete_logged_model(copy)


def _delete_experiments(context: ServerContext, matching: Matching) -> set[int]:
    """Delete experiments; those (by the source's ids) that were active until now."""
    found = set()
    for number, match in matching.matches.items():
        active = match.there is None or match.there.stage != "deleted"
        if match.source.stage == "deleted" and active:
            writer, home = context.writer_in(number)
            if context.attempt("experiments", match.name, partial(writer.delete_experiment, home)):
                found.add(number)
    return found
