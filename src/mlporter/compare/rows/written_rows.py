"""Exact comparison of what was read back with what was sent."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.tables.rows import OrderCheck
from mlporter.compare.report import ONLY_RIGHT
from mlporter.compare.rows.cursor import is_keyless
from mlporter.compare.rows.streams import Merge
from mlporter.compare.rows.values import bits
from mlporter.errors import BundleDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    taken as one value, as databases do not keep its payload. As long as both streams are the same
    bit by bit, no rows are matched; what follows is matched by key.

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
        *_past_same(_sorted(table, expected), actual),
        take,
        strict=signed_zeros,
        limit=None if among_others else 1,
    )
    while not found and merge.step():
        pass
    return without_secrets(table, found[0]) if found else None


def _sorted(table: Table, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass batches on as long as they are sorted: what is the same as they are is so, too."""
    order = OrderCheck(table.key, repeats=table.repeats or is_keyless(table))
    for batch in batches:
        if order.first_wrong(batch) is not None:
            raise BundleDamagedError("rows are not sorted by their key", subject=table.name)
        yield batch


def _past_same(
    expected: Iterator[pa.RecordBatch], actual: Iterator[pa.RecordBatch]
) -> tuple[Iterator[pa.RecordBatch], Iterator[pa.RecordBatch]]:
    """Both streams from where on they are not the same, bit by bit; rarely anything is left.

    To match rows by key takes ten times as long as to see that all bits are the same.
    """
    left = right = None
    while True:
        left = left or next(expected, None)
        right = right or next(actual, None)
        if left is None or right is None:
            break
        length = min(left.num_rows, right.num_rows)
        if not _bits(left.slice(0, length)).equals(_bits(right.slice(0, length))):
            break
        left, right = left.slice(length), right.slice(length)
    return _from(left, expected), _from(right, actual)


def _bits(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([bits(c) for c in batch.columns], batch.schema.names)


def _from(first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return rest if first is None else chain([first], rest)


def without_secrets(table: Table, difference: Difference) -> Difference:
    """A difference as it may be shown: of secrets only that they differ."""
    hidden = (HIDDEN, HIDDEN)
    columns = {n: hidden if n in table.secrets else both for n, both in difference.columns.items()}
    return replace(difference, columns=columns)


def _json_as_text(table: Table) -> Table:
    return replace(table, columns=tuple(replace(c, json=False) for c in table.columns))
