"""What differences are about: a run, say, for each of its parameters, tags, points and files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.catalogue.tables.own import ARTIFACTS, OWNER_TABLES
from mlporter.plan.units import OF_MODELS, OWNED
from mlporter.reports import limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlporter.compare.report import Difference, DiffReport
    from mlporter.reports.reading.curves import Histories

__all__ = ["EXPERIMENT", "RUN", "Beside", "Thing", "ValueKey", "value_key"]
__all__ += ["columns_of_thing", "differing_runs", "things_of"]

RUN, EXPERIMENT, _MODEL = "run", "experiment", "registered model"

_NOUNS = {
    "runs": RUN,
    "experiments": EXPERIMENT,
    "registered_models": _MODEL,
    "logged_models": "logged model",
    "trace_info": "trace",
    "evaluation_datasets": "evaluation dataset",
    "model_versions": _MODEL,
}
ValueKey = tuple[str, tuple[str, ...]]
"""A table, and a row of it by its key, as texts."""
_OF_EXPERIMENTS = {"experiments", "experiment_tags"}


@dataclass(frozen=True, slots=True)
class Thing:
    """What a difference is about: the noun of its kind, and its id or name."""

    noun: str
    id: str


@dataclass(frozen=True)
class Beside:
    """What was read beside the comparison.

    Attributes:
        names: Names of things that have ids.
        values: Values of what only one side has, by `value_key`: those that are a single text.
        left: Curves of A, of runs that differ.
        right: Curves of B.
    """

    names: Mapping[Thing, str] = field(default_factory=dict)
    values: Mapping[ValueKey, str] = field(default_factory=dict)
    left: Histories | None = None
    right: Histories | None = None


def _thing_of(difference: Difference) -> Thing:
    """What a difference is about: a run, say, for each of its parameters."""
    table_, key = difference.table, {k: str(v) for k, v in difference.key.items()}
    if table_ == ARTIFACTS.name:
        kind = key.get("owner_kind", "")
        entity = OWNER_TABLES.get(kind, "")
        owner = key.get("owner_id", "")
        if entity == "model_versions":
            workspace, _, rest = owner.partition("/")
            owner = _model_id(workspace, rest.rpartition("/")[0])
        return Thing(_NOUNS.get(entity, kind.replace("_", " ") or "file"), owner)
    if table_ in OF_MODELS:
        return Thing(_MODEL, _model_id(key.get("workspace", ""), key.get("name", "")))
    if owned := OWNED.get(table_):
        named = [key[column] for column in owned.columns if column in key]
        return Thing(_NOUNS.get(owned.entity, owned.entity.replace("_", " ")), "/".join(named))
    if table_ in _OF_EXPERIMENTS:
        return Thing(EXPERIMENT, key.get("experiment_id", ""))
    return Thing(table_.replace("_", " "), "")


def value_key(difference: Difference) -> ValueKey:
    """Which row a difference is about."""
    return difference.table, tuple(str(value) for value in difference.key.values())


def _model_id(workspace: str, name: str) -> str:
    return name if workspace in {"", "default"} else f"{workspace}/{name}"


def things_of(differences: Sequence[Difference]) -> dict[Thing, list[Difference]]:
    """The differences by what they are about, as they first come."""
    grouped: dict[Thing, list[Difference]] = defaultdict(list)
    for one in differences:
        grouped[_thing_of(one)].append(one)
    return dict(grouped)


def differing_runs(report: DiffReport) -> list[str]:
    """Runs whose metrics are not the same: as many as there are charts for."""
    found = dict.fromkeys(
        str(one.key["run_uuid"])
        for one in report.differences[: limits.DIFFERENCES]
        if one.table == "metrics" and "run_uuid" in one.key
    )
    return list(found)[: limits.CHARTED_RUNS]


def columns_of_thing(difference: Difference) -> tuple[str, ...]:
    """The columns of a difference's key that name what it is about."""
    if difference.table == ARTIFACTS.name:
        own: tuple[str, ...] = ("owner_kind", "owner_id")
    elif difference.table in OF_MODELS:
        own = ("workspace", "name")
    elif difference.table in _OF_EXPERIMENTS:
        own = ("experiment_id",)
    else:
        owned = OWNED.get(difference.table)
        own = owned.columns if owned is not None else ()
    return own
