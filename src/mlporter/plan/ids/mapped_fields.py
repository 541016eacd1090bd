"""Fields of a newer server by other ids: their keys as the other side has them."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import BY_NAME
from mlporter.plan.ids.mapped_rows import map_batch
from mlporter.stores.rows.unknown_fields import row_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.plan.ids.id_map import IdMap
    from mlporter.stores.rows.unknown_fields import FieldRow

__all__ = ["mapped_fields", "mapped_path"]

_ROWS = 5_000
_ELEMENT = re.compile(r"(?<=\[)[^\[\]]+(?=\])")
"""What an element of a list is called by: of one that stands for a thing, the id of that."""
_CALLED_BY_ID = ("logged_models", "model_definitions", "runs")


def mapped_fields(rows: Iterable[FieldRow], ids: IdMap) -> Iterator[FieldRow]:
    """The same rows with other keys. Keys that cannot be are left out."""
    for table, found in groupby(rows, lambda row: row[0]):
        while chunk := list(islice(found, _ROWS)):
            for (_, _, field, value), key in zip(chunk, _keys(table, chunk, ids), strict=True):
                if key is not None:
                    yield table, key, mapped_path(field, ids), value


def mapped_path(field: str, ids: IdMap) -> str:
    """The path of a field, with elements called as the other side does."""
    return _ELEMENT.sub(partial(_mapped, ids), field)


def _mapped(ids: IdMap, called: re.Match[str]) -> str:
    return "/".join(_other(ids, part) for part in called[0].split("/"))


def _other(ids: IdMap, part: str) -> str:
    found = (ids.of(table).get(part) for table in _CALLED_BY_ID)
    return next((id_ for id_ in found if id_ is not None), part)


def _keys(table: str, rows: list[FieldRow], ids: IdMap) -> list[str | None]:
    """The new key of each row; None where a bundle holds one that is none."""
    entry = BY_NAME.get(table)
    if entry is None:
        return [None] * len(rows)
    # Every column is there, for ids that hang on others.
    schema = pa.schema([pa.field(field.name, field.type) for field in entry.schema])
    named = [_named(entry.key, key) for _, key, _, _ in rows]
    try:
        batch = pa.RecordBatch.from_pylist([row or {} for row in named], schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return [None] * len(rows)
    mapped = map_batch(entry, batch, ids).select(list(entry.key))
    news = (json.dumps(key) for key in row_keys(mapped))
    return [new if row else None for row, new in zip(named, news, strict=True)]


def _named(names: tuple[str, ...], key: str) -> dict[str, object] | None:
    try:
        values = json.loads(key)
    except ValueError:
        return None
    is_key = isinstance(values, list) and len(values) == len(names)
    return dict(zip(names, values, strict=True)) if is_key else None
