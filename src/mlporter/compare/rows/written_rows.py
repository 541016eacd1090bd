"""Exact comparison of what was read back with what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.compare.report import ONLY_RIGHT
from mlporter.compare.rows.streams import Merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference

__all__ = ["HIDDEN", "same_rows", "without_secrets"]

HIDDEN = "(secret)"
"""What is shown of a secret."""


def same_rows(  # noqa: PLR0913 -- two streams, and what a target does to values
    table: Table,
    expected: Iterator[pa.RecordBatch],
    actual: Iterator[pa.RecordBatch],
    *,
    signed_zeros: bool = True,
    json_as_text: bool = True,
    among_others: bool = False,
) -> Difference | None:
    """Compare what was sent with what is there; None if every row is the same.

    Values are compared as they are: no place is looked through, and JSON is text. Only NaN is
    taken as one value, as databases do not keep its payload.

    Args:
        table: Names the key that both streams are sorted by.
        expected: Rows that were sent (left of the difference).
        actual: Rows that were read back (right of the difference).
        signed_zeros: False where the target keeps no sign of zero: SQLite stores whole floats as
            integers, so that -0.0 reads back as 0.0; MariaDB drops the sign.
        json_as_text: False where the target writes JSON anew (MySQL), so that it can only be
            equal if parsed; only together with `signed_zeros=False`.
        among_others: `actual` may have more rows than were sent: the table was in use.

    Returns:
        The first difference in the order of the key, or None.

    Raises:
        BundleDamagedError: a stream is not sorted by the key, or holds a key twice.
    """
    found: list[Difference] = []

    def take(difference: Difference) -> None:
        if not (among_others and difference.sigil == ONLY_RIGHT):
            found.append(difference)

    table = replace(table, key=table.order)
    merge = Merge(
        _json_as_text(table) if json_as_text and not signed_zeros else table,
        expected,
        actual,
        take,
        strict=signed_zeros,
        limit=None if among_others else 1,
    )
    while not found and merge.step():
        pass
    return without_secrets(table, found[0]) if found else None


def without_secrets(table: Table, difference: Difference) -> Difference:
    """A difference as it may be shown: of secrets only that they differ."""
    hidden = (HIDDEN, HIDDEN)
    columns = {n: hidden if n in table.secrets else both for n, both in difference.columns.items()}
    return replace(difference, columns=columns)


def _json_as_text(table: Table) -> Table:
    return replace(table, columns=tuple(replace(c, json=False) for c in table.columns))
