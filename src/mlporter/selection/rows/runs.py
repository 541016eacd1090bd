"""Runs by id, time and filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.selection.rows.search import predicate, runs_with
from mlporter.stores.protocols import Among
from mlporter.stores.rows.run_filter import Clause, parse_filter
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Container

    from mlporter.selection.criteria import Selection
    from mlporter.stores.protocols import Source

__all__ = ["find_runs", "in_time_window", "runs_like"]

_SHOWN = 3
_SHORTEST = 4
"""Ids that begin with less than that many letters are no help."""
_FIXED = ("run_uuid", "experiment_id", "lifecycle_stage", "start_time")
_DELETED = "deleted"


def find_runs(
    source: Source, criteria: Selection, experiments: Container[int] | None
) -> tuple[set[str], set[str]]:
    """The runs that a selection narrows to, and those that it names and that are not there.

    Args:
        source: Where they are.
        criteria: What is asked for; of it ids, time window, filter and `exclude_deleted`.
        experiments: Only runs of these; None is any.

    Raises:
        UsageError: MLflow's search does not take the filter.
    """
    clauses = parse_filter(criteria.filter) if criteria.filter else ()
    of_runs = [clause for clause in clauses if clause.table == "runs"]
    runs, there = _by_row(source, criteria, experiments, of_runs)
    for clause in clauses:
        if clause.table != "runs" and runs:
            found, is_all_others = runs_with(source, clause)
            runs = runs - found if is_all_others else runs & found
    return runs, set(criteria.runs) - there


def _by_row(
    source: Source, criteria: Selection, experiments: Container[int] | None, clauses: list[Clause]
) -> tuple[set[str], set[str]]:
    """Runs by what the table of runs says of them, and those named that come into question."""
    tests = [(clause.key, predicate(clause)) for clause in clauses]
    columns = tuple(dict.fromkeys((*_FIXED, *(key for key, _ in tests))))
    asked = frozenset(criteria.runs)
    among = Among("run_uuid", tuple(sorted(asked))) if asked else None

    def is_in_question(row: dict[str, Any]) -> bool:
        is_kept = not criteria.exclude_deleted or row["lifecycle_stage"] != _DELETED
        return is_kept and (experiments is None or row["experiment_id"] in experiments)

    there: set[str] = set()
    found: set[str] = set()
    for batch in source.read("runs", columns, among):
        rows = [row for row in batch.to_pylist() if is_in_question(row)]
        there.update(row["run_uuid"] for row in rows if row["run_uuid"] in asked)
        found.update(
            row["run_uuid"]
            for row in rows
            if in_time_window(criteria, row["start_time"])
            and all(fits(row[key]) for key, fits in tests)
        )
    return found, there


def in_time_window(criteria: Selection, time: int | None) -> bool:
    """Whether a time is in the window asked for; one that is not known is in none."""
    if not criteria.is_window:
        return True
    if time is None:
        return False
    return (criteria.since is None or time >= criteria.since) and (
        criteria.until is None or time <= criteria.until
    )


def runs_like(source: Source, wanted: set[str]) -> dict[str, list[str]]:
    """Runs that may be meant: of that id, of ids that begin so, or of that name."""
    near: dict[str, list[str]] = {}
    if not wanted:
        return near
    for id_, name in rows_of(source, "runs", ("run_uuid", "name")):
        for run in wanted:
            begins = len(run) >= _SHORTEST and id_.startswith(run)
            if (begins or run in (id_, name)) and len(near.setdefault(run, [])) < _SHOWN:
                near[run].append(id_)
    return near
