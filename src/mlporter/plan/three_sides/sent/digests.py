"""Digests of values, column by column: what is remembered of rows instead of the rows.

64 bits each, of pandas' `hash_array`, which is the same on every machine and in every release. They
tell a changed value from an unchanged one under the same key; nothing is looked up by them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.rows import slices
from mlporter.compare.rows.digests import number_digests, text_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from mlporter.catalogue.types import Table

__all__ = ["Digested", "column_digests", "digested", "key_digests", "value_digest"]


_NULL = np.uint64(0x9E3779B97F4A7C15)
_ABSENT_STANDS_FOR_NOTHING = np.uint64(1)
"""No value has the digest 0, which says that there is none."""


_AT_ONCE = 2_000
"""Rows that are digested together: more is held of them than they are."""


@dataclass(frozen=True)
class Digested:
    """Some rows with their digests.

    Attributes:
        rows: The rows.
        lines: Of each, the digest of its key and those of its values.
    """

    rows: pa.RecordBatch
    lines: NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """How much it takes."""
        return int(self.rows.nbytes + self.lines.nbytes)


def digested(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[Digested]:
    """Rows with their digests, a few at a time."""
    for batch in batches:
        for some in slices(batch, _AT_ONCE):
            keys = key_digests(some, table.key)
            yield Digested(some, np.column_stack([keys, column_digests(table, some)]))


def column_digests(table: Table, batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """Digests of all values, one row of the array for each, in the order of the batch's columns."""
    columns = [
        _digests(batch.column(at), is_json=_is_json(table, name))
        for at, name in enumerate(batch.schema.names)
    ]
    if not columns:
        return np.empty((batch.num_rows, 0), np.uint64)
    return np.stack(columns, axis=1)


def key_digests(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    """One digest for the values of some columns together, of each row."""
    found = np.full(batch.num_rows, 0xCBF29CE484222325, np.uint64)
    for name in columns:
        values = _digests(batch.column(batch.schema.get_field_index(name)), is_json=False)
        found = (found ^ values) * np.uint64(0x100000001B3)
    return found


def value_digest(value: object, type_: pa.DataType, *, is_json: bool = False) -> int:
    """The digest of one value of a column of a type."""
    return int(_digests(pa.array([value], type_), is_json=is_json)[0])


def _is_json(table: Table, name: str) -> bool:
    column = table.by_name.get(name)
    return column is not None and column.json


def _digests(values: pa.Array, *, is_json: bool) -> NDArray[np.uint64]:
    nulls = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        found = text_digests(values, _canonical if is_json else None)
    else:
        found = number_digests(_plain(values))
    found = np.where(found == 0, _ABSENT_STANDS_FOR_NOTHING, found)
    return np.where(nulls, _NULL, found).astype(np.uint64)


def _plain(values: pa.Array) -> NDArray[Any]:
    """Values that are no texts as what pandas digests: 64-bit numbers, or texts."""
    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return np.asarray(pc.fill_null(values.cast(pa.int64()), 0))
    if pa.types.is_floating(kind):
        # 0.0 and -0.0 are equal; so is any NaN to any other.
        numbers = np.asarray(pc.fill_null(values.cast(pa.float64()), 0.0)) + 0.0
        return np.where(np.isnan(numbers), np.nan, numbers)
    return np.array([repr(value) for value in values.to_pylist()], dtype=object)


def _canonical(text: str) -> str:
    """A JSON document as text that is the same for all that parse equal."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text
