"""What a database would refuse, found before the first write, or named after it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.rows.filters import marked, row_name, with_nul

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Column, Table

__all__ = ["MAX_REASONS", "Demands", "MisfitFoundError", "misfits", "stop_at_misfit"]

MAX_REASONS = 100
"""How many misfits are named; the search ends there."""


@dataclass(frozen=True)
class Demands:
    """What a target demands of the rows of a table.

    Attributes:
        needed: Columns that must not be NULL.
        unique: Columns whose values together must come once; the key is one of them.
        strict: Whether lengths and ranges are held, and no NUL character is taken: SQLite takes
            any length into a VARCHAR, and NUL characters; PostgreSQL takes neither.
    """

    needed: frozenset[str]
    unique: tuple[tuple[str, ...], ...]
    strict: bool

    @classmethod
    def of(cls, there: Table, *, strict: bool) -> Demands:
        """Those of a table of the target."""
        needed = {c.name for c in there.columns if not c.nullable and not c.generated}
        unique = (there.key, *there.unique) if there.key else there.unique
        return cls(frozenset(needed) | frozenset(there.key), unique, strict)


def misfits(table: Table, batches: Iterable[pa.RecordBatch], demands: Demands) -> Iterator[str]:
    """A sentence for every value that the target would refuse, by its rules."""
    names = {c.name for c in table.columns if not c.generated}
    unique = [columns for columns in demands.unique if names.issuperset(columns)]
    seen = _Seen(table, unique)
    for batch in batches:
        for name in sorted(demands.needed & names):
            yield from _nothing(table, name, batch)
        yield from seen.again(batch)
        if demands.strict:
            yield from _strictly(table, batch)


def _nothing(table: Table, name: str, batch: pa.RecordBatch) -> Iterator[str]:
    values = batch.column(batch.schema.get_field_index(name))
    if values.null_count:
        for row in marked(values.is_null()):
            yield f"{row_name(table, batch, row)}: {name} is NULL, which the target does not accept"


class _Seen:
    """Finds what must be unique and comes twice: rows are sorted by their key."""

    def __init__(self, table: Table, unique: list[tuple[str, ...]]) -> None:
        self._table = table
        self._last: tuple[object, ...] | None = None
        self._others: Mapping[tuple[str, ...], Counter[tuple[object, ...]]]
        self._others = {columns: Counter() for columns in unique if columns != table.key}
        self._by_key = table.key in unique

    def again(self, batch: pa.RecordBatch) -> Iterator[str]:
        """A sentence for each row that has what one before it had."""
        if self._by_key and batch.num_rows:
            yield from self._key_again(batch)
        for columns, counts in self._others.items():
            arrays = [batch.column(batch.schema.get_field_index(name)) for name in columns]
            for row, values in enumerate(zip(*(a.to_pylist() for a in arrays), strict=True)):
                counts[values] += 1
                if None not in values and counts[values] > 1:
                    yield (
                        f"{row_name(self._table, batch, row)}: another row has the same "
                        f"{', '.join(columns)}, which must be unique"
                    )

    def _key_again(self, batch: pa.RecordBatch) -> Iterator[str]:
        arrays = [batch.column(batch.schema.get_field_index(name)) for name in self._table.key]
        rows = batch.num_rows
        same: pa.Array | None = None
        for array in arrays:
            equal = pc.equal(array.slice(1), array.slice(0, rows - 1))
            same = equal if same is None else pc.and_(same, equal)
        first = tuple(array[0].as_py() for array in arrays)
        again = [0] if first == self._last else []
        if same is not None:
            again += [row + 1 for row in marked(pc.fill_null(same, fill_value=False))]
        self._last = tuple(array[rows - 1].as_py() for array in arrays)
        for row in again:
            yield f"{row_name(self._table, batch, row)}: another row has the same key"


def _strictly(table: Table, batch: pa.RecordBatch) -> Iterator[str]:
    """A sentence for every value that PostgreSQL would refuse."""
    texts = [c for c in table.columns if pa.types.is_string(c.type) and not c.generated]
    narrow = [(c, c.declared.bit_width) for c in table.columns if c.declared is not None]
    for column, bits in narrow:
        yield from _too_large(table, column.name, bits, batch)
    for column in texts:
        values = batch.column(batch.schema.get_field_index(column.name))
        if values.null_count == len(values):
            continue
        yield from _too_long(table, column, values, batch)
        yield from _with_nul(table, column, values, batch)


class MisfitFoundError(Exception):
    """Writing met a value that does not fit; never leaves the package."""


def stop_at_misfit(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on to be written, up to the first that has a value that would be refused.

    A NULL, or a key that comes twice, the database refuses itself, and sooner.

    Raises:
        MisfitFoundError: this batch has one; `misfits` names them all.
    """
    for batch in batches:
        if next(_strictly(table, batch), None) is not None:
            raise MisfitFoundError(table.name)
        yield batch


def _too_long(
    table: Table, column: Column, values: pa.Array, batch: pa.RecordBatch
) -> Iterator[str]:
    # What has no more bytes has no more characters, which take longer to count.
    if column.cap is None or pc.max(pc.binary_length(values)).as_py() <= column.cap:
        return
    lengths = pc.utf8_length(values)
    for row in marked(pc.greater(lengths, column.cap)):
        yield (
            f"{row_name(table, batch, row)}: {column.name} has {lengths[row].as_py()} "
            f"characters, the target allows {column.cap}"
        )


def _too_large(table: Table, name: str, bits: int, batch: pa.RecordBatch) -> Iterator[str]:
    values = batch.column(batch.schema.get_field_index(name))
    limit = 1 << (bits - 1)
    for row in marked(pc.or_(pc.greater_equal(values, limit), pc.less(values, -limit))):
        value = values[row].as_py()
        yield f"{row_name(table, batch, row)}: {name} {value} is too large for the target"


def _with_nul(
    table: Table, column: Column, values: pa.Array, batch: pa.RecordBatch
) -> Iterator[str]:
    for row in with_nul(values):
        yield (
            f"{row_name(table, batch, row)}: {column.name} has a NUL character, which the "
            "target does not accept"
        )
