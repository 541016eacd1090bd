"""What was last sent, as a planner asks for it: digests of rows, by table and group."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.plan.three_sides.keys import group_columns, key_array
from mlporter.plan.three_sides.sent.small_values import SmallRows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from mlporter.catalogue.types import Table
    from mlporter.plan.three_sides.sent.digests import Digested
    from mlporter.stores.rows.last_sent import Group

__all__ = [
    "Base",
    "Fingerprint",
    "NoBase",
    "forget_emptied",
    "groups_of",
    "refused_name",
    "remember",
    "remember_refused",
]


Values = dict[str, dict[str, object]]
"""Small values of rows by column, by the digests of the rows' keys."""


Put = tuple[str, bytes, Values | None]
"""A group to remember: its name, digests and small values, as `Base.put` takes them."""


class GroupRows(NamedTuple):
    """Rows of one group, as they are remembered.

    Attributes:
        name: The group's.
        lines: The digests of each row.
        doubtful: Whether the sides do not agree on a row.
        pieces: What is kept of the values of the rows.
    """

    name: str
    lines: NDArray[np.uint64]
    doubtful: NDArray[np.bool_]
    pieces: tuple[Piece, ...]


class Piece(NamedTuple):
    """Rows of one group among some that follow each other."""

    among: SmallRows
    start: int
    end: int


class Base(Protocol):
    """What was last sent from one place to another."""

    @property
    def is_known(self) -> bool:
        """Whether anything was ever sent, as far as is known."""

    def groups(self, table: str, names: Collection[str]) -> Mapping[str, Group]:
        """Some groups of rows of a table, of those that there are."""

    def names(self, table: str) -> Iterator[str]:
        """The names of all groups of a table, sorted."""

    def put(
        self,
        table: str,
        columns: tuple[str, ...],
        name: str,
        rows: bytes,
        values: Values | None = None,
    ) -> None:
        """Remember a group instead of what was remembered of it.

        Args:
            table: Which table's.
            columns: The columns that there are digests of.
            name: The group's.
            rows: Its digests.
            values: What is kept of its values; None leaves those that there are.
        """

    def put_all(self, table: str, columns: tuple[str, ...], groups: Iterable[Put]) -> None:
        """Remember some groups instead of what was remembered of them."""

    def values(self, table: str, name: str) -> Values:
        """What was kept of the values of a group, by the digests of its keys."""

    def forget(self, table: str, names: Collection[str]) -> None:
        """Remember some groups no more."""

    def clear(self) -> None:
        """Remember nothing: all is as if nothing had been sent."""

    def take_as_known(self) -> None:
        """What is remembered next was sent, though not by a transfer of ours."""

    def commit(self) -> None:
        """Keep what was remembered; the transfer is done."""

    def noted(self, kind: str) -> dict[str, str]:
        """What was noted of a kind, by name."""

    def note(self, kind: str, values: Mapping[str, str]) -> None:
        """Note something instead of all that was noted of its kind."""


@dataclass
class NoBase:
    """Nothing is remembered."""

    is_known: bool = field(default=False, init=False)

    def groups(self, table: str, names: Collection[str]) -> Mapping[str, Group]:  # noqa: ARG002
        """None."""
        return {}

    def names(self, table: str) -> Iterator[str]:  # noqa: ARG002
        """None."""
        return iter(())

    def put(
        self,
        table: str,
        columns: tuple[str, ...],
        name: str,
        rows: bytes,
        values: Values | None = None,
    ) -> None:
        """Not kept."""

    def put_all(self, table: str, columns: tuple[str, ...], groups: Iterable[Put]) -> None:
        """Not kept."""

    def values(self, table: str, name: str) -> Values:  # noqa: ARG002
        """None."""
        return {}

    def forget(self, table: str, names: Collection[str]) -> None:
        """There is nothing to forget."""

    def clear(self) -> None:
        """There is nothing to forget."""

    def take_as_known(self) -> None:
        """Nothing is."""

    def commit(self) -> None:
        """There is nothing to keep."""

    def noted(self, kind: str) -> dict[str, str]:  # noqa: ARG002
        """Nothing."""
        return {}

    def note(self, kind: str, values: Mapping[str, str]) -> None:
        """Not kept."""


def groups_of(
    table: Table, rows: Iterable[Digested], disputed: Collection[int]
) -> Iterator[GroupRows]:
    """Rows as they are remembered: groups, with the lines of their rows; and which are disputed.

    Args:
        table: Names the key; rows are sorted by it.
        rows: Its rows, as they are compared.
        disputed: Digests of the keys of rows that the sides do not agree on.
    """
    last: GroupRows | None = None
    wanted = np.array(sorted(disputed), np.uint64)
    for some in rows:
        batch, lines = some.rows, some.lines
        keys = lines[:, 0]
        doubtful = np.isin(keys, wanted) if len(wanted) else np.zeros(len(keys), np.bool_)
        names = key_array(batch, group_columns(table))
        texts = names if pa.types.is_string(names.type) else names.cast(pa.string())
        ends = pc.run_end_encode(texts)
        small, start = SmallRows(table, batch), 0
        for end, name in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            piece = Piece(small, start, end)
            group = GroupRows(name, lines[start:end], doubtful[start:end], (piece,))
            start = end
            if last is not None and last.name == name:
                last = _joined(last, group)
                continue
            if last is not None:
                yield last
            last = group
    if last is not None:
        yield last


def _joined(one: GroupRows, other: GroupRows) -> GroupRows:
    return GroupRows(
        one.name,
        np.concatenate([one.lines, other.lines]),
        np.concatenate([one.doubtful, other.doubtful]),
        (*one.pieces, *other.pieces),
    )


class Fingerprint:
    """One digest of all rows of a table, whatever their order: the columns, too, are in it."""

    def __init__(self, table: Table) -> None:
        """Start with no rows."""
        self._names = ",".join(table.schema.names)
        self._total = self._count = 0

    def of(self, rows: Iterable[Digested]) -> Iterator[Digested]:
        """Pass rows on, and take them into account."""
        for some in rows:
            row = some.lines[:, 0]
            for column in some.lines[:, 1:].T:
                row = (row ^ column) * np.uint64(0x100000001B3)
            self._total += int(row.sum(dtype=np.uint64))
            self._count += some.rows.num_rows
            yield some

    def __str__(self) -> str:
        """Of the rows that were taken so far."""
        return f"{self._count} {self._total % (1 << 64):016x} {self._names}"


_AT_ONCE = 2_000
"""Rows, or names, that are looked at together."""


def refused_name(table: str) -> str:
    """Under which name rows of a table are remembered that a target did not take."""
    return f"refused {table}"


def remember_refused(
    base: Base, table: Table, rows: Iterable[Digested], refused: Collection[int]
) -> None:
    """Remember the rows that a target did not take, and no others.

    Args:
        base: Where to.
        table: The columns that are compared, key first.
        rows: The source's rows in that shape, sorted by the key.
        refused: Digests of the keys of these rows.
    """
    name, columns = refused_name(table.name), tuple(table.schema.names)
    before = set(base.names(name))
    if not refused and not before:
        return
    now = set()
    for group in groups_of(table, rows, refused):
        if group.doubtful.any():
            base.put(name, columns, group.name, group.lines[group.doubtful].tobytes())
            now.add(group.name)
    base.forget(name, sorted(before - now))


def remember(base: Base, table: Table, rows: Iterable[Digested], disputed: Collection[int]) -> None:
    """Remember rows that both sides have; of the disputed ones, keep what was remembered before.

    Args:
        base: Where to.
        table: The columns that are compared, key first.
        rows: The source's rows in that shape, sorted by the key.
        disputed: Digests of the keys of rows that the sides do not agree on.
    """
    columns = tuple(table.schema.names)
    doubtful = np.array(sorted(disputed), np.uint64)
    pending: list[GroupRows] = []
    count = 0
    for group in groups_of(table, rows, disputed):
        pending.append(group)
        count += len(group.lines)
        if count >= _AT_ONCE:
            _put(base, table, columns, pending, doubtful)
            pending, count = [], 0
    _put(base, table, columns, pending, doubtful)


def forget_emptied(base: Base, table: str, names: list[str], disputed: Collection[int]) -> None:
    """Forget rows of groups of which the source has no row any more, but for the disputed ones.

    Who sets the last tag of a run again that both sides have deleted is not to seem to have kept
    it.
    """
    doubtful = np.array(sorted(disputed), np.uint64)
    for start in range(0, len(names), _AT_ONCE):
        for name, group in base.groups(table, names[start : start + _AT_ONCE]).items():
            rows = group.rows[np.isin(group.rows[:, 0], doubtful)]
            if len(rows):
                base.put(table, group.columns, name, rows.tobytes())
            else:
                base.forget(table, [name])


def _put(
    base: Base,
    table: Table,
    columns: tuple[str, ...],
    groups: list[GroupRows],
    disputed: NDArray[np.uint64],
) -> None:
    before = base.groups(table.name, [group.name for group in groups])
    changed: list[Put] = []
    for group in groups:
        known = before.get(group.name)
        rows = _undisputed(group.lines, group.doubtful, columns, known, disputed)
        if known is not None and known.columns == columns and np.array_equal(known.rows, rows):
            continue
        if len(rows):
            values = _values(base, table.name, group, rows[:, 0] if len(disputed) else None)
            changed.append((group.name, rows.tobytes(), values))
        elif known is not None:
            base.forget(table.name, [group.name])
    base.put_all(table.name, columns, changed)


def _values(base: Base, table: str, group: GroupRows, keys: NDArray[np.uint64] | None) -> Values:
    """What is kept of the values of a group; of disputed rows what was kept before.

    Args:
        base: Has what was kept before.
        table: Which table's.
        group: The rows.
        keys: Those of all rows that are remembered, if any are disputed.
    """
    if not group.pieces[0].among.is_kept:
        return {}
    small = chain.from_iterable(p.among.rows[p.start : p.end] for p in group.pieces)
    names = map(str, group.lines[:, 0].tolist())
    now = {key: row for key, row in zip(names, small, strict=True) if row}
    if keys is None:
        return now
    agreed = set(map(str, group.lines[~group.doubtful, 0].tolist()))
    wanted = set(map(str, keys.tolist())) - agreed
    older = {key: row for key, row in base.values(table, group.name).items() if key in wanted}
    return older | {key: row for key, row in now.items() if key in agreed}


def _undisputed(
    lines: NDArray[np.uint64],
    doubtful: NDArray[np.bool_],
    columns: tuple[str, ...],
    known: Group | None,
    disputed: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """The lines that are agreed on, and of the others what was remembered before.

    Among these are rows that the source has no more, and the target still has.
    """
    if not len(disputed):
        return lines
    agreed = lines[~doubtful]
    if known is None or known.columns != columns:
        return agreed
    older = known.rows[np.isin(known.rows[:, 0], disputed)]
    return np.concatenate([agreed, older]) if len(older) else agreed
