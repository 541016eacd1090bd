"""Values of small fields as they were last sent: what people are shown of it, beside the digests.

Decisions are made by digests alone. A value is shown only if it has the digest that was remembered
of it, so that one which was not kept, or is older than its digest, is never taken for the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlporter.catalogue.types import Kind
from mlporter.plan.three_sides.actions import NOT_KNOWN
from mlporter.plan.three_sides.digests import value_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from mlporter.catalogue.types import Table

__all__ = ["LONGEST", "kept_columns", "kept_values", "sent_value"]

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
        if not (column.secret or column.generated or column.name in places)
        and column.name not in table.key
    )


def kept_values(
    table: Table, keys: NDArray[Any], pieces: Iterable[pa.RecordBatch]
) -> dict[str, dict[str, object]]:
    """What is kept of some rows, by the digests of their keys.

    Args:
        table: The columns that are compared.
        keys: A digest for each row.
        pieces: The rows.
    """
    columns = kept_columns(table)
    if not columns:
        return {}
    rows = [row for piece in pieces for row in piece.select(list(columns)).to_pylist()]
    kept = zip(map(str, keys.tolist()), map(_small, rows), strict=True)
    return {key: row for key, row in kept if row}


def _small(row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in row.items()
        if value is not None
        and (isinstance(value, int | float) or (isinstance(value, str) and len(value) <= LONGEST))
    }


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
