"""Exact comparison of what was read back with what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.compare.merge import Merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference

__all__ = ["same_rows"]


def same_rows(
    table: Table,
    expected: Iterator[pa.RecordBatch],
    actual: Iterator[pa.RecordBatch],
    *,
    signed_zeros: bool = True,
) -> Difference | None:
    """Compare what was sent with what is there; None if every row is the same.

    Values are compared as they are: no place is looked through, and JSON is text. Only NaN is
    taken as one value, as databases do not keep its payload.

    Args:
        table: Names the key that both streams are sorted by.
        expected: Rows that were sent (left of the difference).
        actual: Rows that were read back (right of the difference).
        signed_zeros: False where the target keeps no sign of zero: SQLite stores whole floats as
            integers, so that -0.0 reads back as 0.0. JSON then stays text all the same.

    Returns:
        The first difference in the order of the key, or None.

    Raises:
        BundleDamagedError: a stream is not sorted by the key, or holds a key twice.
    """
    found: list[Difference] = []
    table = replace(table, key=table.order)
    merge = Merge(
        table if signed_zeros else _json_as_text(table),
        expected,
        actual,
        found.append,
        strict=signed_zeros,
        limit=1,
    )
    while not found and merge.step():
        pass
    return found[0] if found else None


def _json_as_text(table: Table) -> Table:
    return replace(table, columns=tuple(replace(c, json=False) for c in table.columns))
