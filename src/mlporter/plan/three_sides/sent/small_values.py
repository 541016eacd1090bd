"""Values of small fields as they were last sent: what people are shown of it, beside the digests.

Decisions are made by digests alone. A value is shown only if it has the digest that was remembered
of it, so that one which was not kept, or is older than its digest, is never taken for the truth.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.catalogue.types import Kind
from mlporter.plan.three_sides.actions import NOT_KNOWN
from mlporter.plan.three_sides.sent.digests import value_digest
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.catalogue.types import Table

__all__ = ["LONGEST", "SmallRows", "kept_columns", "sent_value", "small_rows"]

LONGEST = 200
"""Characters of the longest text that is kept."""


def kept_columns(table: Table) -> tuple[str, ...]:
    """The columns of a table whose values are kept, where they are small.

    Keys are in everything's name; URIs may hold passwords; of what is secret nothing is kept.
    """
    if table.kind is not Kind.KEPT:
        return ()
    places = {place.column for place in table.places}
    return tuple(
        column.name
        for column in table.columns
        if not (column.generated or column.name in places)
        and column.name not in {*table.key, *table.secrets}
    )


def small_rows(table: Table, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns whose values are kept, with NULL for what is not small.

    Small are numbers, and short texts without the password of an address.
    """
    columns = {name: batch.column(name) for name in kept_columns(table)}
    for name, values in columns.items():
        if pa.types.is_string(values.type):
            columns[name] = _without_passwords(_short(values))
    return pa.RecordBatch.from_pydict(
        {name: values for name, values in columns.items() if _holds_small(values.type)}
    )


def _short(texts: pa.Array) -> pa.Array:
    is_short = pc.less_equal(pc.utf8_length(texts), LONGEST)
    # Arrow makes room for all that may come: not for the long texts.
    cut = pc.utf8_slice_codeunits(texts, 0, LONGEST)
    return pc.if_else(is_short, cut, pa.scalar(None, texts.type))


def _without_passwords(texts: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(texts, "://")).as_py():
        return texts
    shown = [None if text is None else hide_passwords(text) for text in texts.to_pylist()]
    is_plain = pc.equal(texts, pa.array(shown, texts.type))
    return pc.if_else(is_plain, texts, pa.scalar(None, texts.type))


def _holds_small(kind: pa.DataType) -> bool:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind))


class SmallRows:
    """What is kept of some rows that follow each other; made when it is first asked for."""

    def __init__(self, table: Table, batch: pa.RecordBatch) -> None:
        self._small = small_rows(table, batch)
        self.is_kept = bool(self._small.num_columns)

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        """The small values of each row, by column."""
        names = self._small.schema.names
        columns = [column.to_pylist() for column in self._small.columns]
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in zip(*columns, strict=True)
        ]


def sent_value(
    table: Table, column: str, digests: Mapping[str, int] | None, kept: Mapping[str, object]
) -> object:
    """What was last sent of a column of a row, or `NOT_KNOWN`.

    Args:
        table: The columns that are compared.
        column: Which.
        digests: What is remembered of the row; None if nothing is.
        kept: The values that were kept of it.
    """
    if digests is None or column not in digests:
        return NOT_KNOWN
    entry, value = table.by_name[column], kept.get(column)
    is_so = digests[column] == value_digest(value, entry.type, is_json=entry.json)
    return value if is_so else NOT_KNOWN
