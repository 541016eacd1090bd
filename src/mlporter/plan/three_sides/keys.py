"""Which rows are remembered together, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.plan.units import MATCHED, OWNED, key_array, key_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Table

__all__ = ["group_columns", "group_name", "group_names", "groups_are_of", "key_array", "key_text"]
__all__ += ["owner_columns", "owner_of"]

_NAMED = {
    "experiment_tags": ("experiments", ("experiment_id",)),
    "registered_model_tags": ("registered_models", ("workspace", "name")),
    "registered_model_aliases": ("registered_models", ("workspace", "name")),
}
"""Rows below what is matched by name."""


def group_columns(table: Table) -> tuple[str, ...]:
    """The columns whose values rows have in common that are remembered together.

    They come first in the key: all of it for what is a unit itself, all but the last for the rest.
    """
    owned = OWNED.get(table.name)
    is_unit = table.name in MATCHED or (owned is not None and owned.entity == table.name)
    return table.key if is_unit or len(table.key) == 1 else table.key[:-1]


def group_name(table: Table, row: Mapping[str, object]) -> str:
    """The name of the group that a row is in."""
    return key_text(row[name] for name in group_columns(table))


def group_names(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    """The names of the groups that some rows are in, sorted as these are by their key."""
    last = None
    for batch in batches:
        names = key_array(batch, group_columns(table))
        texts = names if pa.types.is_string(names.type) else names.cast(pa.string())
        for name in pc.run_end_encode(texts).values.to_pylist():
            if name != last:
                yield name
            last = name


def _owner(table: Table) -> tuple[str, tuple[str, ...]]:
    """The kind of unit that rows of a table belong to, and the columns that name it."""
    owned = OWNED.get(table.name)
    if owned is not None:
        return owned.entity, owned.columns
    return _NAMED.get(table.name, (table.name, table.key))


def groups_are_of(table: Table) -> str | None:
    """The kind of unit by whose key the groups of a table are named; None if by no unit's."""
    columns = group_columns(table)
    kind, owner = _owner(table)
    return kind if columns == owner != table.key else None


def owner_columns(table: Table) -> tuple[str, ...]:
    """The columns that name the unit which a row belongs to; its own key, if it is one."""
    return _owner(table)[1]


def owner_of(table: Table, row: Mapping[str, object]) -> tuple[str, str]:
    """The table and the key of the unit that a row belongs to; its own, if it is one."""
    kind, columns = _owner(table)
    if not set(columns) <= row.keys():
        return table.name, key_text(row[name] for name in table.key)
    return kind, key_text(row[name] for name in columns)
