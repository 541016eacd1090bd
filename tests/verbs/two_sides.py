"""What people do to two registries that are kept in step, and what became of it at the target."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import mlflow
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback

import mlporter
from mlporter.artifacts.uris.ownership import DELETED_STAGE
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.compare.report import ONLY_RIGHT
from mlporter.plan.merge.changes import UPDATE_TIMES
from mlporter.plan.units import OWNED
from tests.support.databases import row_counts, rows
from tests.support.mlflow_session import mlflow_at
from tests.verbs.histories import STEPS, experiments, live, new_run, register, some_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.compare.report import Difference
    from mlporter.execute.result import Result

Cell = tuple[str, tuple[Any, ...], str]
"""A table, the key of a row, and a column."""

ALIASES = ("champion", "challenger")
STAGES = ("None", "Staging", "Production", "Archived")


def some_version(client: MlflowClient, which: int) -> Any:
    """One of the versions."""
    found = sorted(client.search_model_versions(), key=lambda v: (v.name, int(v.version)))
    return found[which % len(found)]


def delete_tag(client: MlflowClient, which: int) -> None:
    """Take a tag away, if it is there."""
    client.delete_tag(some_run(client, which), "state")


def rename_run(client: MlflowClient, which: int) -> None:
    """Give a run another name."""
    client.update_run(some_run(client, which), name=f"renamed {which}")


def tag_experiment(client: MlflowClient, which: int) -> None:
    """Set a tag of an experiment."""
    found = experiments(client)
    client.set_experiment_tag(found[which % len(found)], "team", f"team {which}")


def stage(client: MlflowClient, which: int) -> None:
    """Move a version to a stage."""
    version = some_version(client, which)
    client.transition_model_version_stage(version.name, version.version, STAGES[which % 4])


def move_alias(client: MlflowClient, which: int) -> None:
    """Let an alias point to some version."""
    version = some_version(client, which)
    client.set_registered_model_alias(version.name, ALIASES[which % 2], version.version)


def delete_alias(client: MlflowClient, which: int) -> None:
    """Take an alias away."""
    version = some_version(client, which)
    client.delete_registered_model_alias(version.name, ALIASES[which % 2])


def describe(client: MlflowClient, which: int) -> None:
    """Describe a model and tag a version otherwise."""
    version = some_version(client, which)
    client.update_registered_model(version.name, f"described {which}")
    client.set_model_version_tag(version.name, version.version, "state", f"tagged {which}")


def trace(client: MlflowClient, which: int) -> None:
    """A trace, in some experiment."""
    found = experiments(client)
    root = client.start_trace(f"trace {which}", experiment_id=found[which % len(found)])
    client.end_trace(root.trace_id)


def some_trace(client: MlflowClient, which: int) -> str:
    """One of the traces."""
    found = client.search_traces(locations=experiments(client), include_spans=False)
    ids = sorted(one.info.trace_id for one in found)
    return ids[which % len(ids)]


def tag_trace(client: MlflowClient, which: int) -> None:
    """Set a tag of a trace."""
    client.set_trace_tag(some_trace(client, which), "state", f"edited {which}")


def assess(client: MlflowClient, which: int) -> None:
    """Say what a trace is worth."""
    source = AssessmentSource(source_type="HUMAN", source_id="somebody")
    feedback = Feedback(name="quality", value=which, source=source)
    mlflow.log_assessment(trace_id=some_trace(client, which), assessment=feedback)


def delete_trace(client: MlflowClient, which: int) -> None:
    """Delete a trace: MLflow keeps nothing of it."""
    found = some_trace(client, which)
    for experiment in experiments(client):
        client.delete_traces(experiment, trace_ids=[found])


EDITS: tuple[Callable[[MlflowClient, int], None], ...] = (
    *STEPS,
    register,
    delete_tag,
    rename_run,
    tag_experiment,
    stage,
    move_alias,
    move_alias,
    delete_alias,
    describe,
    trace,
    tag_trace,
    assess,
    delete_trace,
)

BEGINNING = [(new_run, 0), (new_run, 1), (register, 0), (move_alias, 0), (trace, 1)]
"""What is there before anything is sent."""

edits = st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 5)), max_size=6)
wishes = st.fixed_dictionaries(
    {"delete": st.booleans(), "prefer": st.sampled_from([None, None, "ours", "theirs"])}
)
rounds = st.lists(
    st.tuples(edits, edits, wishes, st.none() | st.integers(1, 40)), min_size=1, max_size=3
)


def let_happen(address: str, history: list[tuple[Callable[..., None], int]]) -> None:
    """Do some of it, with MLflow's client."""
    if history:
        with mlflow_at(address):
            live(MlflowClient(address, address), history)


# --- What became of it ----------------------------------------------------------------------------

_BY_NAME = {"experiments", "registered_models"}
_TIMES = {*UPDATE_TIMES.values(), "deleted_time"} - {"end_time"}


def cells(address: str) -> dict[Cell, Any]:
    """Every value of every row that people make, but for times of change."""
    found: dict[Cell, Any] = {}
    counts = row_counts(address)
    for name in counts:
        table = BY_NAME.get(name)
        if table is None or table.kind is not Kind.KEPT or not counts[name]:
            continue
        columns = [c.name for c in table.columns if not c.generated and c.name not in _TIMES]
        said = ", ".join(f'"{column}"' for column in columns)
        for row in rows(address, f'SELECT {said} FROM "{name}"'):
            values = dict(zip(columns, row, strict=True))
            key = tuple(values[column] for column in table.key)
            found |= {(name, key, column): value for column, value in values.items()}
    return found


def lost(
    sent: list[dict[Cell, Any]], edited: dict[Cell, Any], now: dict[Cell, Any], named: set[str]
) -> list[str]:
    """What people did at the target, and is no more as they left it: of what nobody was told.

    Args:
        sent: The target after each time that something was sent there. Who puts back what was sent
            once has no edit that could be told from it.
        edited: The target before the next time.
        now: The target after it.
        named: What the result names.
    """
    last = sent[-1]
    changed = [
        cell
        for cell in {*last, *edited}
        if last.get(cell, _NO) != edited.get(cell, _NO)
        and not _is_gone_on_both(cell, edited, now)
        and (cell not in edited or all(then.get(cell, _NO) != edited[cell] for then in sent))
    ]
    gone = [cell for cell in changed if edited.get(cell, _NO) != now.get(cell, _NO)]
    return [
        f"{cell}: {last.get(cell, _NO)} -> {edited.get(cell, _NO)} -> {now.get(cell, _NO)}"
        for cell in gone
        if not names_of_cell(cell, last, edited, now) & named
    ]


def _is_gone_on_both(cell: Cell, edited: dict[Cell, Any], now: dict[Cell, Any]) -> bool:
    """Whether the target deleted a version, and what MLflow left of it went with its model."""
    table, key, _ = cell
    stage = (table, key, "current_stage")
    return edited.get(stage) == DELETED_STAGE and stage not in now


def names_of_cell(cell: Cell, *sides: dict[Cell, Any]) -> set[str]:
    """By what a result may name a value: the row's key, the beginning of it, or its owner's key."""
    table, key, _ = cell
    names = {"/".join(map(str, key[:n])) for n in range(1, len(key) + 1)}
    columns = OWNED[table].columns if table in OWNED else ()
    for side in sides:
        owner = [side.get((table, key, column)) for column in columns]
        names.add("/".join(map(str, owner)))
    return names - {""}


_NO = "nothing"


def names_of(result: Result) -> set[str]:
    """What a result names."""
    kinds = {"update", "move", "delete", "create"}
    return {action.id for action in result.actions.first if action.kind.value in kinds}


def is_settled(result: Result) -> bool:
    """Whether both sides agree on everything that was sent, by what a result says."""
    return not result.actions.total("keep", "conflict") and not result.left_out.unexpected


def is_of_the_target(difference: Difference) -> bool:
    """Whether it is only in the target, or has it from another time: both sides did the same.

    When a model or an experiment was made, which both sides made under one name, is each side's.
    """
    own = _TIMES | ({"creation_time"} if difference.table in _BY_NAME else frozenset())
    return difference.sigil == ONLY_RIGHT or difference.columns.keys() <= own


def said(result: Result) -> tuple[Any, ...]:
    """What a plan and what came of it have in common."""
    actions = sorted(
        json.dumps(action.as_dict(), sort_keys=True) for action in result.actions.first
    )
    return result.actions.digest, actions, result.tables, result.left_out, result.exit_code


class StoppedError(Exception):
    """Somebody stopped it."""


def interrupted_sync(source: str, target: str, after: int, **wanted: Any) -> bool:
    """Sync, and stop when it has told of its progress so often; returns whether it was stopped."""
    calls = 0

    def on_progress(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls >= after:
            raise StoppedError

    with contextlib.suppress(StoppedError):
        mlporter.sync(source, target, on_progress=on_progress, **wanted)
        return False
    return True
