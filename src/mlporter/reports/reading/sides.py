"""What a report of a comparison reads of both sides: names of things, and curves that differ."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from mlporter.compare.report import ONLY_LEFT, ONLY_RIGHT
from mlporter.reports import limits
from mlporter.reports.reading.contents import rows_among, run_names
from mlporter.reports.reading.curves import read_curves
from mlporter.reports.texts import cut, value_text
from mlporter.reports.things import (
    EXPERIMENT,
    RUN,
    Beside,
    Thing,
    differing_runs,
    things_of,
    value_key,
)
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlporter.compare.report import Difference, DiffReport, Sigil
    from mlporter.reports.things import ValueKey
    from mlporter.stores.protocols import Source

__all__ = ["read_beside"]


def read_beside(report: DiffReport, one: Source, other: Source) -> Beside:
    """Names and curves of what differs, from both sides as they were compared."""
    things = things_of(report.differences[: limits.DIFFERENCES])
    runs = differing_runs(report)
    named = report.differences[: limits.DIFFERENCES]
    names = _names(other, things) | _names(one, things)
    values = _values(one, named, ONLY_LEFT) | _values(other, named, ONLY_RIGHT)
    return Beside(names, values, read_curves(one, runs), read_curves(other, runs))


def _values(source: Source, differences: Sequence[Difference], side: Sigil) -> dict[ValueKey, str]:
    """The values of tags, parameters and the like that only one side has."""
    wanted: dict[str, dict[ValueKey, Difference]] = defaultdict(dict)
    for one in differences:
        if one.sigil == side and one.table in _VALUES:
            wanted[one.table][value_key(one)] = one
    found: dict[ValueKey, str] = {}
    for name, rows in wanted.items():
        owner, value = _VALUES[name]
        key = tuple(next(iter(rows.values())).key)
        owners = {one.key[owner] for one in rows.values()}
        for *row, text in rows_among(source, name, (*key, value), owner, owners):
            which = (name, tuple(map(str, row)))
            if which in rows:
                found[which] = value_text(text)
    return found


_VALUES = {
    "params": ("run_uuid", "value"),
    "tags": ("run_uuid", "value"),
    "experiment_tags": ("experiment_id", "value"),
    "logged_model_params": ("model_id", "param_value"),
    "logged_model_tags": ("model_id", "tag_value"),
    "registered_model_tags": ("name", "value"),
    "registered_model_aliases": ("name", "version"),
    "model_version_tags": ("name", "value"),
    "trace_tags": ("request_id", "value"),
}
"""Tables whose rows are a single value: the column of whose it is, and that of the value."""


def _names(source: Source, things: Iterable[Thing]) -> dict[Thing, str]:
    runs = run_names(source, [thing.id for thing in things if thing.noun == RUN])
    experiments = {thing.id for thing in things if thing.noun == EXPERIMENT}
    named = rows_of(source, "experiments", ("experiment_id", "name")) if experiments else ()
    return {Thing(RUN, run): name for run, name in runs.items()} | {
        Thing(EXPERIMENT, str(id_)): cut(name) for id_, name in named if str(id_) in experiments
    }
