"""Remember what was sent, once it is there: the source's rows, as they are compared.

Or an earlier snapshot of the source, taken as what was last sent. A base is kept in the target's
terms: so the experiments of the snapshot are looked for in the target, by the runs that both have,
or by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.tables.small_rows import Again, Room
from mlporter.catalogue.file_owners import FILE_OWNERS
from mlporter.catalogue.types import Kind
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.matching.names import match_experiments
from mlporter.plan.matching.users import SENT_USERS
from mlporter.plan.merge.changes import matched_pair
from mlporter.plan.merge.equality import Comparison
from mlporter.plan.policy import Merge
from mlporter.plan.side_reader import Nothing, experiments_of, models_of
from mlporter.plan.three_sides.keys import group_columns, group_names, groups_are_of
from mlporter.plan.three_sides.names import lacking
from mlporter.plan.three_sides.row import Sides
from mlporter.plan.three_sides.sent.base import Fingerprint, forget_emptied, remember
from mlporter.plan.three_sides.sent.digests import digested
from mlporter.plan.three_sides.sent.sent_files import remember_files
from mlporter.plan.units import ENTITIES, EXPERIMENTS, MODELS, OWNED, ROWWISE, Choice, Chosen
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.plan.policy import Policy
    from mlporter.plan.side_reader import Experiment, Reader
    from mlporter.plan.three_sides.sent.base import Base
    from mlporter.plan.three_sides.sent.digests import Digested
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["NOT_REMEMBERED", "recall_snapshot", "remember_sent"]

NOT_REMEMBERED = frozenset({"metrics", "latest_metrics", "inputs", "input_tags", "datasets"})
"""Rows that are only ever added: whoever has more of them has added some."""


_PRINTS = "fingerprints"
"""What is noted of tables, all of whose rows are remembered: a digest of them all."""


def remember_sent(
    base: Base,
    source: Source,
    *,
    tables: tuple[Table, ...],
    there: tuple[Table, ...],
    merge: Merge,
    on_progress: OnProgress,
) -> None:
    """Remember what a target has of a source, now that it is there.

    Args:
        base: Where to.
        source: What was copied, as it is.
        tables: The tables that were copied.
        there: The tables of the target.
        merge: What was done, and what the sides do not agree on.
        on_progress: Called with what is being remembered.
    """
    units: dict[str, _Rows] = {}
    room = Room()
    before = base.noted(_PRINTS)
    prints: dict[str, str] = {}
    for sides in _sides(source, tables, there, merge):
        table = sides.pair.table
        said = partial(_said, on_progress, f"remembering {table.name}")
        disputed = merge.disputed.get(table.name, ())
        rows = _Rows(table, Again(partial(_digested, sides), room))
        kind = groups_are_of(table)
        if kind is None:
            units[table.name] = rows
        last = None if disputed else before.get(table.name)
        if last is not None and last == _fingerprint(table, said(rows.read())):
            prints[table.name] = last
            continue  # all of it is remembered as it is
        had_some = next(base.names(table.name), None) is not None
        found = Fingerprint(table)
        remember(base, table, found.of(said(rows.read())), disputed)
        if not disputed:
            prints[table.name] = str(found)
        if had_some and kind in units:
            emptied = _emptied(base, rows, units[kind])
            forget_emptied(base, table.name, emptied, disputed)
    _forget(base, merge)
    base.note(_PRINTS, {} if merge.forgotten else prints)
    if merge.sent_users is not None:
        base.note(SENT_USERS, merge.sent_users)
    numbers, names = merge.noted
    base.note(EXPERIMENTS, base.noted(EXPERIMENTS) | numbers)
    base.note("experiment_names", base.noted("experiment_names") | names)


def _fingerprint(table: Table, rows: Iterator[Digested]) -> str:
    found = Fingerprint(table)
    for _ in found.of(rows):
        pass
    return str(found)


def _said(on_progress: OnProgress, step: str, rows: Iterator[Digested]) -> Iterator[Digested]:
    """Pass rows on, and say how many they are."""
    done = 0
    on_progress(step, done, None)
    for some in rows:
        yield some
        done += some.rows.num_rows
        on_progress(step, done, None)


@dataclass(frozen=True)
class _Rows:
    """Rows of the source as they are compared."""

    table: Table
    read: Again[Digested]

    def names(self) -> Iterator[str]:
        """The names of the groups that they are in."""
        return group_names(self.table, (some.rows for some in self.read()))


def _digested(sides: Sides) -> Iterator[Digested]:
    return digested(sides.pair.table, sides.of_source())


def _emptied(base: Base, rows: _Rows, owners: _Rows) -> list[str]:
    """Groups that are remembered, and of which the source has the owner but no row any more."""
    table = rows.table
    columns = group_columns(table)
    if len(columns) == 1 and pa.types.is_string(table.by_name[columns[0]].type):
        gone = lacking(base.names(table.name), rows.names())
    else:  # sorted otherwise than their names are
        gone = set(base.names(table.name)) - set(rows.names())
    if not gone:
        return []
    there = owners.names()
    return sorted({name for name in there if name in gone})


def _sides(
    source: Source, tables: tuple[Table, ...], there: tuple[Table, ...], merge: Merge
) -> Iterator[Sides]:
    nothing = Nothing(there)
    comparison = Comparison(source, nothing, tables)
    without = {kind: Chosen(chosen.keys, without=True) for kind, chosen in merge.skipped.items()}
    mine = MappedReader(source, merge.ids, Choice(without))
    theirs = MappedReader(nothing, IdMap())
    for table in tables:
        name = table.name
        if table.kind is not Kind.KEPT or name in NOT_REMEMBERED:
            continue
        if name in {EXPERIMENTS, MODELS}:
            pair = matched_pair(name, *comparison.entries(name))
            if pair is not None:
                yield Sides(pair, mine, theirs)
        elif (name in OWNED or name in ENTITIES or name in ROWWISE) and comparison.is_on_both(name):
            sides = comparison.sides(name, mine, theirs)
            if sides is not None and sides.pair.table.key:
                yield sides


def _forget(base: Base, merge: Merge) -> None:
    """Forget what neither side has any more; of rows below it, their own names tell."""
    by_kind: dict[str, list[str]] = {}
    for kind, name in merge.forgotten:
        by_kind.setdefault(kind, []).append(name)
    for kind, names in by_kind.items():
        base.forget(kind, names)
        below = [table for table, owned in OWNED.items() if owned.entity == kind]
        for table in below:
            base.forget(table, names)


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
        tables: The tables that are copied.
        policy: Names that things have in the target.
        largest: The largest number of an experiment that the target can hold.
        on_progress: Called with what is being remembered.
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
