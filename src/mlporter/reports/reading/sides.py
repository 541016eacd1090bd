"""What a report of a comparison reads of both sides: names of things, and curves that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.reports import limits
from mlporter.reports.reading.contents import run_names
from mlporter.reports.reading.curves import read_curves
from mlporter.reports.texts import cut
from mlporter.reports.things import EXPERIMENT, RUN, Beside, Thing, differing_runs, things_of
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlporter.compare.report import DiffReport
    from mlporter.stores.protocols import Source

__all__ = ["read_beside"]


def read_beside(report: DiffReport, one: Source, other: Source) -> Beside:
    """Names and curves of what differs, from both sides as they were compared."""
    things = things_of(report.differences[: limits.DIFFERENCES])
    runs = differing_runs(report)
    names = _names(other, things) | _names(one, things)
    return Beside(names, read_curves(one, runs), read_curves(other, runs))


def _names(source: Source, things: Iterable[Thing]) -> dict[Thing, str]:
    runs = run_names(source, [thing.id for thing in things if thing.noun == RUN])
    experiments = {thing.id for thing in things if thing.noun == EXPERIMENT}
    named = rows_of(source, "experiments", ("experiment_id", "name")) if experiments else ()
    return {Thing(RUN, run): name for run, name in runs.items()} | {
        Thing(EXPERIMENT, str(id_)): cut(name) for id_, name in named if str(id_) in experiments
    }
