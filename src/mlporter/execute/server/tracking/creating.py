"""The first steps: make the experiments, runs and logged models that are not there.

All ids are known then before anything refers to them.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import source_tags
from mlporter.errors import AccessDeniedError
from mlporter.execute.server.allowed_names import odd_tags
from mlporter.execute.server.context import Home
from mlporter.execute.server.worker_pool import Crew
from mlporter.plan.matching.natural_keys import tagged
from mlporter.stores.protocols import Among
from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rows.version_locations import rows_of
from mlporter.stores.server.writing.writer import tag_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.execute.server.context import Carry
    from mlporter.execute.server.matching import Matching
    from mlporter.plan.matching.names import Match

__all__ = ["make_experiments", "make_logged_models", "make_runs"]

_AT_ONCE = 500
"""Logged models whose parameters and tags are read together."""


def make_experiments(carry: Carry, matching: Matching) -> None:
    """Make experiments that are not there, and restore those that are deleted only there.

    Of the others, say that they hold copies.
    """
    matches = dict(matching.matches)
    new = [number for number, match in matches.items() if match.there is None]
    restored = [match for match in matches.values() if _step(match) is _restore]
    carry.tallies["experiments"].there += len(matches) - len(new) - len(restored)

    def make(number: int) -> None:
        step = _step(matches[number])
        if carry.attempt(
            "experiments", matches[number].name, partial(step, carry, matching, number)
        ):
            carry.on_progress("making experiments", len(carry.homes), len(matches))

    wanted = [n for n, match in matches.items() if ("experiments", match.name) not in carry.refused]
    with Crew(carry.workers) as crew:
        crew.each(wanted, make)
    for number in new:
        if number not in carry.ids.experiments:
            del matching.matches[number]


def _step(match: Match) -> Callable[[Carry, Matching, int], None]:
    if match.there is None:
        return _make
    restored = match.there.stage == "deleted" and match.source.stage != "deleted"
    return _restore if restored else _mark


def _restore(carry: Carry, matching: Matching, number: int) -> None:
    """Restore an experiment; MLflow restores all of its runs with it."""
    match = matching.matches[number]
    if match.there is None:
        return
    carry.writer_of(match.workspace).restore_experiment(match.there.number)
    rows = rows_of(carry.source, "runs", ("run_uuid", "experiment_id"))
    carry.awake.update(run for run, experiment in rows if experiment == number)
    carry.wrote("experiments", changed=1)
    _mark(carry, matching, number)


def _mark(carry: Carry, matching: Matching, number: int) -> None:
    """Say of an experiment that it holds copies, if it does not say so yet.

    Who may only read it can import what is there already, and is told of anything else.
    """
    match = matching.matches[number]
    there = match.there
    gone = match.source.stage == "deleted"
    if there is not None and there.number not in matching.marked and not gone:
        with suppress(AccessDeniedError):
            carry.writer_of(match.workspace).set_experiment_tag(
                there.number, source_tags.HOLDS, "true"
            )


def _make(carry: Carry, matching: Matching, number: int) -> None:
    match = matching.matches[number]
    writer = carry.writer_of(match.workspace)
    made = writer.create_experiment(match.name, {source_tags.EXPERIMENT: str(number)})
    new = int(made["experiment_id"])
    carry.homes[new] = Home(match.workspace, str(made.get("artifact_location", "")))
    carry.ids.experiments[number] = new
    matching.ours.add(new)
    carry.wrote("experiments")


_RUN = ("run_uuid", "experiment_id", "name", "user_id", "start_time")


def make_runs(carry: Carry) -> None:
    """Make runs that are not there; those of experiments that are left out are, too."""
    known = carry.ids.ids.setdefault("runs", {})
    origin = dict(tagged(carry.source, "tags", "run_uuid", source_tags.RUN))
    odd = odd_tags(carry.source)
    total = carry.source.count("runs")

    def make(row: tuple[Any, ...]) -> None:
        run, experiment, name, user, start = row
        home = carry.ids.experiments[experiment]
        body = {
            "experiment_id": str(home),
            "user_id": user or "",
            "run_name": name or "",
            "start_time": start or 0,
        }
        writer = carry.writer_of(carry.homes[home].workspace)
        mark, along = (source_tags.RUN, origin.get(run, run)), odd.get(run, {})
        try:
            known[run] = writer.create_run(body | {"tags": tag_list(along)}, mark)
            carry.odd.update((run, key) for key in along)
        except ApiError:
            if not along:
                raise
            known[run] = writer.create_run(body, mark)
        carry.on_progress("making runs", len(known), total)

    def new() -> Iterator[tuple[Any, ...]]:
        for row in rows_of(carry.source, "runs", _RUN):
            is_new = row[0] not in known and ("runs", row[0]) not in carry.refused
            if row[1] in carry.ids.experiments and is_new:
                carry.fresh.add(row[0])
                yield row

    with Crew(carry.workers) as crew:
        crew.each(new(), lambda row: carry.attempt("runs", row[0], partial(make, row)))


_MODEL = ("model_id", "experiment_id", "name", "model_type", "source_run_id", "lifecycle_stage")
_PARAM = ("model_id", "param_key", "param_value")
_TAG = ("model_id", "tag_key", "tag_value")


def make_logged_models(carry: Carry) -> None:
    """Make logged models that are not there, with their parameters."""
    known = carry.ids.ids.setdefault("logged_models", {})
    if not carry.is_offered("logged models", "logged_models"):
        return
    origin = dict(tagged(carry.source, "logged_model_tags", "model_id", source_tags.LOGGED_MODEL))
    total = carry.source.count("logged_models")

    def make(item: tuple[tuple[Any, ...], list[tuple[str, str]]]) -> None:
        (model, experiment, name, kind, run, _), params = item
        home = carry.ids.experiments[experiment]
        body = {
            "experiment_id": str(home),
            "name": name,
            "model_type": kind or "",
            "source_run_id": carry.ids.of("runs").get(run, run) or "",
            "params": tag_list(params),
        }
        writer = carry.writer_of(carry.homes[home].workspace)
        known[model] = writer.create_logged_model(
            body, (source_tags.LOGGED_MODEL, origin.get(model, model))
        )
        carry.on_progress("making logged models", len(known), total)

    with Crew(carry.workers) as crew:
        crew.each(
            _new_models(carry),
            lambda item: carry.attempt("logged_models", item[0][0], partial(make, item)),
        )


def _new_models(carry: Carry) -> Iterator[tuple[tuple[Any, ...], list[tuple[str, str]]]]:
    known, rows = carry.ids.ids["logged_models"], []
    for row in rows_of(carry.source, "logged_models", _MODEL):
        if row[1] not in carry.ids.experiments or row[0] in known:
            continue
        if ("logged_models", row[0]) in carry.refused:
            continue
        if carry.is_databricks and row[5] == "deleted":
            detail = "Databricks keeps no deleted logged models"
            carry.leave("logged_model", row[0], "", "unsupported", detail)
            carry.skip("logged_models")
            continue
        carry.fresh.add(row[0])
        rows.append(row)
        if len(rows) >= _AT_ONCE:
            yield from _with_params(carry, rows)
            rows = []
    yield from _with_params(carry, rows)


def _with_params(
    carry: Carry, rows: list[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], list[tuple[str, str]]]]:
    params: dict[str, list[tuple[str, str]]] = defaultdict(list)
    among = Among("model_id", tuple(sorted(row[0] for row in rows)))
    for batch in carry.source.read("logged_model_params", _PARAM, among):
        for model, key, value in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            params[model].append((key, value))
    yield from ((row, params[row[0]]) for row in rows)
