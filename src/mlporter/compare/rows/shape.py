"""Two tables of one name, brought to one shape: which columns, which types, and what stands in.

A schema of an older MLflow has fewer columns. A row of it is read as one in which the column is
NULL or, where it must not be, has MLflow's own default. So a row that says more on one side
differs, and one that does not is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.types import Column, Kind, Place, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Normalise", "Pair", "Shaper", "blank_places", "fallback_of", "pair_up"]
__all__ += ["says_something", "stand_in"]


class Normalise(Protocol):
    """Rewrites a batch before it is compared, say by an id map. Must keep schema and order."""

    def __call__(self, table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch as it is to be compared; `table` has the columns that were read."""


@dataclass(frozen=True)
class Pair:
    """What two tables of one name have in common.

    Attributes:
        table: The columns to compare, key first, and the types that both are brought to.
        left: The table in A with the columns to read, or None where A has none.
        right: The same of B.
        clashes: Sentences on what cannot be compared: it counts as unreadable.
    """

    table: Table
    left: Table | None
    right: Table | None
    clashes: tuple[str, ...] = ()


def pair_up(left: Table | None, right: Table | None, leave: frozenset[str]) -> Pair | None:
    """What to compare of two tables, without the columns in `leave`; None where both are missing.

    Rows of a table that only one side has cannot differ, so only its key is compared.
    """
    if left is None or right is None:
        lone = left or right
        if lone is None:
            return None
        keys = lone.only(frozenset(lone.key))
        return Pair(keys, left and keys, right and keys, _unkeyed(keys))
    mine, theirs = _without(left, leave), _without(right, leave)
    known, other = (theirs, mine) if mine.kind in {Kind.UNKNOWN, Kind.NEWER} else (mine, theirs)
    key, clashes = _common_key(known, other), []
    columns = []
    for name in dict.fromkeys((*key, *known.schema.names, *other.schema.names)):
        column, clash = _common_column(name, known.by_name.get(name), other.by_name.get(name))
        if clash:
            clashes.append(clash)
        else:
            columns.append(column)
    table = replace(known, key=key, columns=tuple(_told(columns, mine, other=theirs)))
    names = frozenset(table.by_name)
    if not key or not names.issuperset(key):
        clashes.append("the two sides do not sort it by the same key")
        table = replace(known, key=(), columns=())
    return Pair(table, mine.only(names), theirs.only(names), tuple(clashes))


def _told(columns: Sequence[Column], mine: Table, *, other: Table) -> Iterator[Column]:
    """Columns that both sides can tell: not one that a side lacks, with what counts instead."""
    names = {column.name for column in columns}
    for column in columns:
        is_on_both = column.name in mine.by_name and column.name in other.by_name
        if is_on_both or column.fallback is None or column.fallback in names:
            yield column


def _without(table: Table, leave: frozenset[str]) -> Table:
    kept = frozenset(table.schema.names) - (leave - frozenset(table.key))
    return table.only(kept)


def _unkeyed(table: Table) -> tuple[str, ...]:
    return () if table.key else ("it has no key",)


def _common_key(known: Table, other: Table) -> tuple[str, ...]:
    """The key that both are sorted by, once what one lacks is filled with a constant; or ()."""
    key = known.key if len(known.key) >= len(other.key) else other.key
    if not key:
        return known.order if known.order == other.order else ()
    for table in (known, other):
        if tuple(name for name in key if name in table.by_name) != table.key:
            return ()
    return key


def _common_column(name: str, known: Column | None, other: Column | None) -> tuple[Column, str]:
    column = known or other
    if column is None:
        raise KeyError(name)
    if known is None or other is None:
        return column, ""
    shared = _common_type(known.type, other.type)
    if shared is None:
        return column, f"column {name} is {known.type} on one side and {other.type} on the other"
    return replace(column, type=shared), ""


def _common_type(one: pa.DataType, two: pa.DataType) -> pa.DataType | None:
    if one == two:
        return one
    for is_kind, shared in (
        (pa.types.is_signed_integer, pa.int64()),
        (pa.types.is_floating, pa.float64()),
    ):
        if is_kind(one) and is_kind(two):
            return shared
    return None


class Shaper:
    """Brings the batches of one side to the shape of a pair.

    Attributes:
        surplus: Of each column that the other side lacks, in how many rows something is in it.
    """

    def __init__(self, pair: Pair, mine: Table, theirs: Table | None) -> None:
        self._pair = pair
        self._mine = mine
        lacking = frozenset(mine.by_name) - frozenset(theirs.by_name if theirs else mine.by_name)
        self.surplus = dict.fromkeys(sorted(lacking), 0)

    def shape(
        self, batches: Iterator[pa.RecordBatch], normalisers: Sequence[Normalise]
    ) -> Iterator[pa.RecordBatch]:
        """The batches after each normaliser, in the schema of the pair's table."""
        schema = self._pair.table.schema
        for batch in batches:
            whole = batch
            for normalise in normalisers:
                whole = normalise(self._mine, whole)
            self._tally(whole)
            columns = [self._column(whole, column) for column in self._pair.table.columns]
            yield pa.RecordBatch.from_arrays(columns, schema.names)

    def _column(self, batch: pa.RecordBatch, column: Column) -> pa.Array:
        index = batch.schema.get_field_index(column.name)
        if index < 0:
            values = stand_in(column, self._pair.table.key, batch.num_rows)
        else:
            values = batch.column(index)
            values = values if values.type == column.type else values.cast(column.type)
        instead = fallback_of(column, batch)
        return values if instead is None else pc.coalesce(values, instead)

    def _tally(self, batch: pa.RecordBatch) -> None:
        for name in self.surplus:
            column = self._pair.table.by_name[name]
            values = batch.column(batch.schema.names.index(name))
            instead = fallback_of(column, batch)
            self.surplus[name] += says_something(values, column, self._pair.table.key, instead)


def says_something(
    values: pa.Array, column: Column, key: tuple[str, ...], instead: pa.Array | None = None
) -> int:
    """In how many rows a column says more than the lack of it does.

    Args:
        values: The column.
        column: What it is.
        key: The key of its table.
        instead: What counts in rows in which it is NULL; see `fallback_of`.
    """
    if instead is not None:
        differ = pc.fill_null(pc.not_equal(values, instead), fill_value=False)
        return int(pc.sum(differ).as_py() or 0)
    empty = stand_in(column, key, 1)[0]
    if not empty.is_valid:
        return int(len(values) - values.null_count)
    differ = pc.fill_null(pc.not_equal(values, empty), fill_value=True)
    return int(pc.sum(differ).as_py() or 0)


def fallback_of(column: Column, batch: pa.RecordBatch) -> pa.Array | None:
    """What counts in rows in which a column is NULL, if anything does."""
    index = batch.schema.get_field_index(column.fallback) if column.fallback else -1
    return batch.column(index) if index >= 0 else None


def stand_in(column: Column, key: tuple[str, ...], rows: int) -> pa.Array:
    """What a lacking column is read as: NULL, or MLflow's default where that is not allowed."""
    if column.nullable and column.name not in key:
        return pa.nulls(rows, column.type)
    if column.name == "workspace":
        return pa.repeat(pa.scalar("default", column.type), rows)
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return pa.repeat(pa.scalar("", column.type), rows)
    if pa.types.is_boolean(column.type):
        return pa.repeat(pa.scalar(value=False), rows)
    return pa.repeat(pa.scalar(0, pa.int32()).cast(column.type), rows)


def blank_places(places: Sequence[Place]) -> Normalise:
    """A normaliser that blanks the values that are places only in some rows (`Place.where`)."""

    def blank(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:  # noqa: ARG001 - Normalise
        for place in places:
            batch = _blank(batch, place)
        return batch

    return blank


def _blank(batch: pa.RecordBatch, place: Place) -> pa.RecordBatch:
    names = batch.schema.names
    if place.where is None or not {place.column, place.where[0]} <= set(names):
        return batch
    column = batch.column(names.index(place.column))
    is_place = pc.equal(batch.column(names.index(place.where[0])), place.where[1])
    is_place = pc.and_(pc.fill_null(is_place, fill_value=False), column.is_valid())
    blanked = pc.if_else(is_place, pa.scalar("", column.type), column)
    return batch.set_column(names.index(place.column), batch.schema.field(place.column), blanked)
