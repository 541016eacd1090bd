"""Remember what was sent, once it is there: the source's rows, as they are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.types import Kind
from mlporter.plan.ids.id_map import IdMap
from mlporter.plan.ids.mapped_rows import MappedReader
from mlporter.plan.matching.users import SENT_USERS
from mlporter.plan.merge.changes import matched_pair
from mlporter.plan.merge.equality import Comparison
from mlporter.plan.side_reader import Nothing
from mlporter.plan.three_sides.base import fingerprint, forget_emptied, remember
from mlporter.plan.three_sides.keys import group_columns, group_names, groups_are_of
from mlporter.plan.three_sides.names import lacking
from mlporter.plan.three_sides.row import Sides
from mlporter.plan.units import ENTITIES, EXPERIMENTS, MODELS, OWNED, ROWWISE, Choice, Chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.plan.policy import Merge
    from mlporter.plan.three_sides.base import Base
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["NOT_REMEMBERED", "remember_sent"]

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
        source: What was carried, as it is.
        tables: The tables that were carried.
        there: The tables of the target.
        merge: What was done, and what the sides do not agree on.
        on_progress: Told what is being remembered.
    """
    units: dict[str, Sides] = {}
    before = base.noted(_PRINTS)
    prints: dict[str, str] = {}
    for sides in _sides(source, tables, there, merge):
        table = sides.pair.table
        on_progress(f"remembering {table.name}", 0, None)
        disputed = merge.disputed.get(table.name, ())
        prints[table.name] = fingerprint(table, sides.of_source())
        kind = groups_are_of(table)
        if kind is None:
            units[table.name] = sides
        if not disputed and prints[table.name] == before.get(table.name):
            continue  # all of it is remembered as it is
        if disputed:
            del prints[table.name]
        remember(base, table, sides.of_source(), disputed)
        if kind in units:
            emptied = _emptied(base, sides, units[kind])
            forget_emptied(base, table.name, emptied, disputed)
    _forget(base, merge)
    base.note(_PRINTS, {} if merge.forgotten else prints)
    if merge.sent_users is not None:
        base.note(SENT_USERS, merge.sent_users)
    numbers, names = merge.noted
    base.note(EXPERIMENTS, base.noted(EXPERIMENTS) | numbers)
    base.note("experiment_names", base.noted("experiment_names") | names)


def _emptied(base: Base, rows: Sides, owners: Sides) -> list[str]:
    """Groups that are remembered, and of which the source has the owner but no row any more."""
    table = rows.pair.table
    columns = group_columns(table)
    if len(columns) == 1 and pa.types.is_string(table.by_name[columns[0]].type):
        gone = lacking(base.names(table.name), group_names(table, rows.of_source()))
    else:  # sorted otherwise than their names are
        gone = set(base.names(table.name)) - set(group_names(table, rows.of_source()))
    if not gone:
        return []
    there = group_names(owners.pair.table, owners.of_source())
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
