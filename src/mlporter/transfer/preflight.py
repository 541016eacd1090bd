"""What a stricter database would refuse, found before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.database.limits import marked, row_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.catalogue.types import Column, Table

__all__ = ["MAX_REASONS", "MisfitFoundError", "misfits", "stop_at_misfit"]

MAX_REASONS = 100
"""How many misfits are named; the search ends there."""


def misfits(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    """A sentence for every value that PostgreSQL would refuse.

    SQLite takes any length into a VARCHAR, and NUL characters; PostgreSQL takes neither.
    """
    texts = [c for c in table.columns if pa.types.is_string(c.type) and not c.generated]
    narrow = [(c, c.declared.bit_width) for c in table.columns if c.declared is not None]
    if not texts and not narrow:
        return
    for batch in batches:
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

    Raises:
        MisfitFoundError: this batch has one; `misfits` names them all.
    """
    for batch in batches:
        if next(misfits(table, (batch,)), None) is not None:
            raise MisfitFoundError(table.name)
        yield batch


def _too_long(
    table: Table, column: Column, values: pa.Array, batch: pa.RecordBatch
) -> Iterator[str]:
    if column.cap is None:
        return
    lengths = pc.utf8_length(values)
    for row in marked(pc.greater(lengths, column.cap)):
        yield (
            f"{row_name(table, batch, row)}: {column.name} has {lengths[row].as_py()} characters, "
            f"the target takes {column.cap}"
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
    for row in marked(pc.match_substring(values, "\0")):
        yield (
            f"{row_name(table, batch, row)}: {column.name} has a NUL character, which the target "
            "does not take"
        )
