"""The first steps: make the experiments, runs and logged models that are not there.

All ids are known then before anything refers to them.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue import source_tags
from mlporter.errors import AccessDeniedError
from mlporter.execute.server.shared.allowed_names import odd_tags
from mlporter.execute.server.shared.context import TargetExperiment
from mlporter.execute.server.shared.worker_pool import WorkerPool
from mlporter.plan.matching.natural_keys import tagged
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.server.writing.sending import tag_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.execute.server.planning.matching import Matching
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.plan.matching.names import Match

__all__ = ["make_experiments", "make_logged_models", "make_runs"]

_AT_ONCE = 500
"""Logged models whose parameters and tags are read together."""


def make_experiments(context: ServerContext, matching: Matching) -> None:
    """Make experiments that are not there, and restore those that are deleted only there.

    Of the others, say that they hold copies.
    """
    matches = dict(matching.matches)
    new = [number for number, match in matches.items() if match.there is None]
    restored = [match for match in matches.values() if _step(match) is _restore]
    context.tallies["experiments"].there += len(matches) - len(new) - len(restored)

    def make(number: int) -> None:
        step = _step(matches[number])
        if context.attempt(
            "experiments", matches[number].name, partial(step, context, matching, number)
        ):
            context.on_progress("making experiments", len(context.target_experiments), len(matches))

    wanted = [
        n for n, match in matches.items() if ("experiments", match.name) not in context.refused
    ]
    with WorkerPool(context.workers) as pool:
        pool.each(wanted, make)
    for number in new:
        if number not in context.ids.experiments:
            del matching.matches[number]


def _step(match: Match) -> Callable[[ServerContext, Matching, int], None]:
    if match.there is None:
        return _make
    restored = match.there.stage == "deleted" and match.source.stage != "deleted"
    return _restore if restored else _mark


def _restore(context: ServerContext, matching: Matching, number: int) -> None:
    """Restore an experiment; MLflow restores all of its runs with it."""
    match = matching.matches[number]
    if match.there is None:
        return
    context.writer_of(match.workspace).restore_experiment(match.there.number)
    rows = rows_of(context.source, "runs", ("run_uuid", "experiment_id"))
    context.restored_runs.update(run for run, experiment in rows if experiment == number)
    context.wrote("experiments", changed=1)
    _mark(context, matching, number)


def _mark(context: ServerContext, matching: Matching, number: int) -> None:
    """Say of an experiment that it holds copies, if it does not say so yet.

    Who may only read it can import what is there already, and is refused anything else, by name.
    """
    match = matching.matches[number]
    there = match.there
    gone = match.source.stage == "deleted"
    if there is not None and there.number not in matching.marked and not gone:
        with suppress(AccessDeniedError):
            context.writer_of(match.workspace).set_experiment_tag(
                there.number, source_tags.HOLDS, "true"
            )


def _make(context: ServerContext, matching: Matching, number: int) -> None:
    match = matching.matches[number]
    writer = context.writer_of(match.workspace)
    made = writer.create_experiment(match.name, {source_tags.EXPERIMENT: str(number)})
    new = int(made["experiment_id"])
    context.target_experiments[new] = TargetExperiment(
        match.workspace, str(made.get("artifact_location", ""))
    )
    context.ids.experiments[number] = new
    matching.ours.add(new)
    context.wrote("experiments")


_RUN = ("run_uuid", "experiment_id", "name", "user_id", "start_time")


def make_runs(context: ServerContext) -> None:
    """Make runs that are not there; those of experiments that are left out are, too."""
    known = context.ids.ids.setdefault("runs", {})
    origin = dict(tagged(context.source, "tags", "run_uuid", source_tags.RUN))
    odd = odd_tags(context.source)
    total = context.source.count("runs")

    def make(row: tuple[Any, ...]) -> None:
        run, experiment, name, user, start = row
        home = context.ids.experiments[experiment]
        body = {
            **context.along.named("runs", run),
            "experiment_id": str(home),
            "user_id": user or "",
            "run_name": name or "",
            "start_time": start or 0,
        }
        writer = context.writer_of(context.target_experiments[home].workspace)
        mark, along = (source_tags.RUN, origin.get(run, run)), odd.get(run, {})
        try:
            known[run] = writer.create_run(body | {"tags": tag_list(along)}, mark)
            context.sent_tags.update((run, key) for key in along)
        except ApiError:
            if not along:
                raise
            known[run] = writer.create_run(body, mark)
        context.on_progress("making runs", len(known), total)

    def new() -> Iterator[tuple[Any, ...]]:
        for row in rows_of(context.source, "runs", _RUN):
            is_new = row[0] not in known and ("runs", row[0]) not in context.refused
            if row[1] in context.ids.experiments and is_new:
                context.fresh.add(row[0])
                yield row

    with WorkerPool(context.workers) as pool:
        pool.each(new(), lambda row: context.attempt("runs", row[0], partial(make, row)))


_MODEL = ("model_id", "experiment_id", "name", "model_type", "source_run_id", "lifecycle_stage")
_PARAM = ("model_id", "param_key", "param_value")
_TAG = ("model_id", "tag_key", "tag_value")


def make_logged_models(context: ServerContext) -> None:
    """Make logged models that are not there, with their parameters."""
    known = context.ids.ids.setdefault("logged_models", {})
    if not context.is_offered("logged models", "logged_models"):
        return
    origin = dict(tagged(context.source, "logged_model_tags", "model_id", source_tags.LOGGED_MODEL))
    total = context.source.count("logged_models")

    def make(item: tuple[tuple[Any, ...], list[tuple[str, str]]]) -> None:
        (model, experiment, name, kind, run, _), params = item
        home = context.ids.experiments[experiment]
        inside = context.along.inside("logged_models", model)
        body = {
            **context.along.named("logged_models", model),
            "experiment_id": str(home),
            "name": name,
            "model_type": kind or "",
            "source_run_id": context.ids.of("runs").get(run, run) or "",
            "params": [
                {**inside.get(("data.params", key), {}), "key": key, "value": value}
                for key, value in params
            ],
        }
        writer = context.writer_of(context.target_experiments[home].workspace)
        known[model] = writer.create_logged_model(
            body, (source_tags.LOGGED_MODEL, origin.get(model, model))
        )
        context.on_progress("making logged models", len(known), total)

    with WorkerPool(context.workers) as pool:
        pool.each(
            _new_models(context),
            lambda item: context.attempt("logged_models", item[0][0], partial(make, item)),
        )


def _new_models(context: ServerContext) -> Iterator[tuple[tuple[Any, ...], list[tuple[str, str]]]]:
    known, rows = context.ids.ids["logged_models"], []
    for row in rows_of(context.source, "logged_models", _MODEL):
        if row[1] not in context.ids.experiments or row[0] in known:
            continue
        if ("logged_models", row[0]) in context.refused:
            continue
        if context.is_databricks and row[5] == "deleted":
            detail = "Databricks keeps no deleted logged models"
            context.leave("logged_model", row[0], "", "unsupported", detail)
            context.skip("logged_models")
            continue
        context.fresh.add(row[0])
        rows.append(row)
        if len(rows) >= _AT_ONCE:
            yield from _with_params(context, rows)
            rows = []
    yield from _with_params(context, rows)


def _with_params(
    context: ServerContext, rows: list[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], list[tuple[str, str]]]]:
    params: dict[str, list[tuple[str, str]]] = defaultdict(list)
    among = Among("model_id", tuple(sorted(row[0] for row in rows)))
    for batch in context.source.read("logged_model_params", _PARAM, among):
        for model, key, value in python_rows(batch):
            params[model].append((key, value))
    yield from ((row, params[row[0]]) for row in rows)
