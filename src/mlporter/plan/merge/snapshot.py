"""An earlier snapshot of a source taken as what was last sent of it into a database.

A base is kept in the target's terms: so the experiments of the snapshot are looked for in the
target, by the runs that both have, or by name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.matching.names import match_experiments
from mlporter.plan.merge.remembering import remember_sent
from mlporter.plan.policy import Merge
from mlporter.plan.side_reader import experiments_of, models_of
from mlporter.plan.three_sides.sent_files import remember_files
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.plan.policy import Policy
    from mlporter.plan.side_reader import Experiment, Reader
    from mlporter.plan.three_sides.memory import Memory
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["recall_snapshot"]

_ASKED = 500
"""How many runs are asked for together."""
_OF_EACH = 20
"""How many runs of an experiment are looked for: one that the target has says which it is."""


def recall_snapshot(
    memory: Memory,
    target: Reader,
    tables: tuple[Table, ...],
    *,
    policy: Policy,
    largest: int,
    on_progress: OnProgress,
) -> None:
    """Remember what is in a snapshot, as if it had been sent now; nothing else is remembered.

    Args:
        memory: Names the snapshot; if it names none, nothing is done.
        target: What is there.
        tables: The tables that are carried.
        policy: Names that things have in the target.
        largest: The largest number of an experiment that the target can hold.
        on_progress: Told what is being remembered.
    """
    snapshot, base = memory.snapshot, memory.base
    if snapshot is None:
        return
    memory.snapshot = None
    names = {table.name for table in tables}
    merge = Merge(ids=_ids(snapshot, target, policy, largest))
    merge.noted = _noted(snapshot, merge.ids, policy)
    base.take_as_known()
    remember_sent(
        base,
        snapshot,
        tables=tuple(table for table in snapshot.tables if table.name in names),
        there=target.tables,
        merge=merge,
        on_progress=on_progress,
    )
    remember_files(base, snapshot, partial(_called, merge.ids))


def _called(ids: IdMap, kind: str, owner: str) -> str:
    """What the owner of a file is called in the target."""
    if kind != "model_version":
        return ids.of(FILE_OWNERS[kind].table).get(owner, owner)
    workspace, rest = owner.split("/", 1)
    name, version = rest.rsplit("/", 1)
    return f"{ids.workspace(workspace)}/{ids.model(workspace, name)}/{version}"


def _ids(snapshot: Source, target: Reader, policy: Policy, largest: int) -> IdMap:
    """What is called otherwise in the target."""
    mine, models = experiments_of(snapshot), models_of(snapshot)
    to = policy.to_workspace
    used = {one.workspace for one in mine} | {workspace for workspace, _ in models}
    ids = IdMap(workspaces={} if to is None else {name: to for name in used if name != to})
    ids.models.update({k: policy.new_names[k[1]] for k in models if k[1] in policy.new_names})
    there = experiments_of(target)
    names = {one.number: policy.experiment_name(one.name) or one.name for one in mine}
    names |= _named_by_runs(snapshot, target, mine, there)
    matches = match_experiments(mine, there, names, ids.workspaces, largest)
    ids.experiments = {m.source.number: m.number for m in matches if m.number != m.source.number}
    ids.experiment_names = names
    return ids


def _named_by_runs(
    snapshot: Source, target: Reader, mine: list[Experiment], there: list[Experiment]
) -> dict[int, str]:
    """What the target calls experiments of which it has a run, whoever renamed them since."""
    names = {one.number: one.name for one in there}
    homes = _some_runs(snapshot, {one.number for one in mine})
    found: dict[int, str] = {}
    runs = sorted(homes)
    for start in range(0, len(runs), _ASKED):
        among = Among("run_uuid", tuple(runs[start : start + _ASKED]))
        for batch in target.read("runs", ("run_uuid", "experiment_id"), among):
            for run, number in zip(*batch.to_pydict().values(), strict=True):
                found.setdefault(homes[run], names.get(number, ""))
    return {number: name for number, name in found.items() if name}


def _some_runs(snapshot: Source, numbers: set[int]) -> dict[str, int]:
    """A few runs of each experiment, with its number."""
    return dict(_first_runs(snapshot, numbers))


def _first_runs(snapshot: Source, numbers: set[int]) -> Iterator[tuple[str, int]]:
    room = dict.fromkeys(numbers, _OF_EACH)
    for run, number in rows_of(snapshot, "runs", ("run_uuid", "experiment_id")):
        if room.get(number, 0):
            room[number] -= 1
            yield run, number


def _noted(snapshot: Source, ids: IdMap, policy: Policy) -> tuple[dict[str, str], dict[str, str]]:
    """Numbers that experiments have in the target, and the names they were sent with."""
    mine = experiments_of(snapshot)
    numbers = {str(one.number): str(ids.experiment(one.number)) for one in mine}
    names = {str(one.number): policy.experiment_name(one.name) or one.name for one in mine}
    return numbers, names
