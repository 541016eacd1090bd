"""Keys of rows as single values, and which of them are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.protocols import Among
from mlporter.stores.rows.filters import is_among

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mlporter.selection.links import End

__all__ = [
    "Chosen",
    "Key",
    "column_of",
    "joined",
    "keys_of",
    "mask_at",
    "matches",
    "rows_at",
]

Key = str | int
"""An id, or the columns of a longer key joined by `_SEPARATOR`."""

_SEPARATOR = "\x00"


def joined(parts: Iterable[object]) -> Key:
    """The key of several columns' values; a single one is itself."""
    values = list(parts)
    if len(values) == 1:
        return values[0] if isinstance(values[0], int) else str(values[0])
    return _SEPARATOR.join(str(value) for value in values)


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column by name."""
    return batch.column(batch.schema.get_field_index(name))


def keys_of(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Array:
    """The key in each row, NULL where part of it is."""
    arrays = [column_of(batch, name) for name in columns]
    if len(arrays) == 1:
        return arrays[0]
    texts = [array.cast(pa.string()) for array in arrays]
    return pc.binary_join_element_wise(*texts, _SEPARATOR)


def matches(batch: pa.RecordBatch, where: tuple[str, str] | None) -> pa.Array | None:
    """In which rows a column has a value; None is all."""
    if where is None:
        return None
    equal = pc.equal(column_of(batch, where[0]), where[1])
    return pc.fill_null(equal, fill_value=False)


class Chosen:
    """The rows of one table that are chosen: all, or those with certain keys."""

    def __init__(self) -> None:
        self.everything = False
        self.keys: set[Key] = set()

    def __contains__(self, key: object) -> bool:
        return self.everything or key in self.keys

    def __bool__(self) -> bool:
        return self.everything or bool(self.keys)


def rows_at(end: End, keys: Collection[Key]) -> Among:
    """What to ask a source for, to get (at least) the rows whose `end` is one of `keys`.

    Of a longer key the source is asked for the name, and never for the workspace, which most rows
    share.
    """
    if len(end.columns) == 1:
        return Among(end.columns[0], _sorted(keys))
    index = 1 if end.columns[0] == "workspace" else 0
    names = {str(key).split(_SEPARATOR)[index] for key in keys}
    return Among(end.columns[index], _sorted(names))


def _sorted(keys: Collection[Key]) -> tuple[str, ...] | tuple[int, ...]:
    return tuple(sorted(keys))  # type: ignore[return-value]  # all text, or all numbers


def mask_at(batch: pa.RecordBatch, end: End, keys: Collection[Key]) -> pa.Array:
    """In which rows `end` is one of `keys`, wherever it holds."""
    values = keys_of(batch, end.columns)
    if end.text and not pa.types.is_integer(values.type):
        return is_among(values, _Texts(keys))
    return is_among(values, keys)


class _Texts:
    """Numbers, asked for as they are written."""

    def __init__(self, keys: Collection[Key]) -> None:
        self._keys = keys

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and (
            (text.isascii() and text.isdigit() and int(text) in self._keys) or text in self._keys
        )
