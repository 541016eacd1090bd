"""The last steps: runs are ended when all of them is there, and what is deleted is deleted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import marks
from mlporter.stores.server.answers import REFUSED, reason_of
from mlporter.stores.versions import rows_of
from mlporter.transfer.into_server.crew import Crew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.stores.server.writing import Writer
    from mlporter.transfer.into_server.carry import Carry
    from mlporter.transfer.into_server.matching import Matching

__all__ = ["delete_last", "end_runs"]


def end_runs(carry: Carry) -> None:
    """Set status, end and name of runs that differ in them: new ones, and those that went on."""

    def end(row: dict[str, Any]) -> None:
        writer, copy = carry.writer_of_run(row["run_uuid"])
        carry.wake(row["run_uuid"])
        changes = {"status": row["status"] or "RUNNING"}
        if row["end_time"] is not None:
            changes["end_time"] = row["end_time"]
        if row["name"]:
            changes["run_name"] = row["name"]
        try:
            writer.update_run(copy, changes)
            carry.wrote("runs")
        except REFUSED as error:
            carry.leave("run", row["run_uuid"], "", reason_of(error), error.message)
            carry.fail("runs")

    with Crew(carry.workers) as crew:
        for missing in carry.missing("runs", leave=frozenset({"lifecycle_stage"})):
            rows = carry.carried(missing.rows, "run_uuid", "runs")
            crew.each(rows.to_pylist(), end)


def delete_last(carry: Carry, matching: Matching) -> set[str]:
    """Delete what is deleted in the source: logged models, experiments, runs.

    Deleting an experiment deletes its runs; those that are active all the same are restored.

    Returns:
        The runs (the source's ids) that were deleted.
    """
    _delete_models(carry)
    gone = _delete_experiments(carry, matching)
    deleted: set[str] = set()
    with Crew(carry.workers) as crew:
        crew.each(_changes(carry, gone, deleted), lambda change: change())
    return deleted


def _changes(carry: Carry, gone: set[int], deleted: set[str]) -> Iterator[Callable[[], object]]:
    """Deletions and restorations of runs; notes which are deleted."""
    known, there = carry.ids.of("runs"), carry.asleep
    for run, stage, experiment in rows_of(
        carry.source, "runs", ("run_uuid", "lifecycle_stage", "experiment_id")
    ):
        if run not in known:
            continue
        is_deleted = (run in there and run not in carry.awake) or experiment in gone
        writer, copy = carry.writer_of_run(run)
        if stage == "deleted":
            deleted.update({run} if run not in there or run in carry.awake else ())
        if (stage == "deleted") != is_deleted:
            is_as_before = run in carry.fresh or (stage == "deleted" and run in carry.awake)
            carry.wrote("runs", 0 if is_as_before else 1)
            change = partial(writer.restore_run if is_deleted else writer.delete_run, copy)
            yield partial(carry.attempt, "runs", run, change)


def _delete_models(carry: Carry) -> None:
    """Delete logged models; as a server does not list those, their ids are noted before."""
    columns = ("model_id", "lifecycle_stage", "experiment_id")
    for model, stage, experiment in rows_of(carry.source, "logged_models", columns):
        copy = carry.ids.of("logged_models").get(model)
        if stage == "deleted" and copy is not None and model not in carry.gone:
            writer, home = carry.writer_in(experiment)
            delete = partial(_delete_model, writer, home, model, copy)
            if carry.attempt("logged_models", model, delete):
                carry.gone.add(model)


def _delete_model(writer: Writer, home: int, model: str, copy: str) -> None:
    writer.set_experiment_tag(home, f"{marks.DELETED_MODEL}{model}", copy)
    writer.delete_logged_model(copy)


def _delete_experiments(carry: Carry, matching: Matching) -> set[int]:
    """Delete experiments; those (by the source's ids) that were active until now."""
    found = set()
    for number, match in matching.matches.items():
        active = match.there is None or match.there.stage != "deleted"
        if match.source.stage == "deleted" and active:
            writer, home = carry.writer_in(number)
            if carry.attempt("experiments", match.name, partial(writer.delete_experiment, home)):
                found.add(number)
    return found
