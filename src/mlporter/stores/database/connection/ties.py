"""The rest of an order: rows that an index gives sorted by its columns, sorted by the others too.

Rows are rarely alike in the columns of the index. To sort by those behind them all the same takes
SQLite as long as to read the rows, and PostgreSQL half as long.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.rows import OrderCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Column, Table

__all__ = ["settled", "unsettled"]

_INDEXED = {"metrics": 3}
"""Columns of the order of a table that an index has: `index_metrics_run_uuid_key_step`."""

_AT_ONCE = 16_384
"""Rows of a batch of rows that are alike, where they came in several."""


def unsettled(table: Table, columns: tuple[Column, ...], relation: str = "") -> tuple[str, ...]:
    """The last columns of a table's order, by which the database need not sort; see `settled`.

    Args:
        table: What is read.
        columns: What of it is read: the whole order, or nothing can be settled.
        relation: SQL that stands for the table, for which no index is known.
    """
    known = _INDEXED.get(table.name)
    if known is None or relation or not {c.name for c in columns}.issuperset(table.order):
        return ()
    return table.order[known:]


def settled(
    batches: Iterator[pa.RecordBatch], order: tuple[str, ...], rest: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    """Rows sorted by the columns of `order` but the last, `rest`, sorted by these as well.

    Rows that are alike in the others are held as they go on from batch to batch, without these
    columns: 40 bytes for each point that a run has of one metric and step.
    """
    if not rest:
        yield from batches
        return
    known = order[: -len(rest)]
    held: _Held | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        same = _same_as_before(batch, known)
        starts = _changes(same)
        begin = 0
        if held is not None:
            if held.goes_on(batch):
                begin = starts[0] if starts else batch.num_rows
                held.add(batch.slice(0, begin))
                if not starts:
                    continue
            yield from held.rows()
        last = starts[-1] - begin if starts else 0
        held = _Held(batch.slice(begin), same.slice(begin), last, known, rest)
    if held is not None:
        yield from held.rows()


class _Held:
    """A batch, of which the rows from `last` on are alike, and may go on in the next one."""

    def __init__(
        self,
        rows: pa.RecordBatch,
        same: pa.BooleanArray,
        last: int,
        known: tuple[str, ...],
        rest: tuple[str, ...],
    ) -> None:
        self._rows = rows
        self._same = same
        self._last = last
        self._known = known
        self._rest = rest
        self._others = [name for name in rows.schema.names if name not in known]
        self._more: list[pa.RecordBatch] = []

    def goes_on(self, batch: pa.RecordBatch) -> bool:
        """Whether the first row of the next batch is like the last one."""
        at = self._rows.num_rows - 1
        return all(self._rows[name][at] == batch[name][0] for name in self._known)

    def add(self, rows: pa.RecordBatch) -> None:
        """More that are alike."""
        self._more.append(rows.select(self._others))

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All of them, sorted."""
        if not self._more:
            yield _sorted(self._rows, self._same, self._rest)
            return
        if self._last:
            before = self._rows.slice(0, self._last)
            yield _sorted(before, self._same.slice(0, self._last - 1), self._rest)
        first = self._rows.slice(self._last).select(self._others)
        whole = pa.Table.from_batches([first, *self._more]).combine_chunks()
        order = pc.sort_indices(whole, sort_keys=[(name, "ascending") for name in self._rest])
        for start in range(0, len(order), _AT_ONCE):
            part = whole.take(order.slice(start, _AT_ONCE)).combine_chunks().to_batches()[0]
            yield self._with_known(part)

    def _with_known(self, part: pa.RecordBatch) -> pa.RecordBatch:
        schema = self._rows.schema
        arrays = [
            pa.repeat(self._rows[name][self._last], part.num_rows)
            if name in self._known
            else part[name]
            for name in schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _sorted(rows: pa.RecordBatch, same: pa.BooleanArray, rest: tuple[str, ...]) -> pa.RecordBatch:
    """Rows sorted by `rest` too, which they nearly always are, where they are the `same`."""
    if not same.true_count:
        return rows
    starts = pa.concat_arrays([pa.array([0]), pc.invert(same).cast(pa.int64())])
    group = pc.cumulative_sum(starts)
    arrays = [group, *(rows.column(name) for name in rest)]
    keys = ("", *rest)
    sought = pa.RecordBatch.from_arrays(arrays, list(keys))
    if OrderCheck(keys, repeats=True).first_wrong(sought) is None:
        return rows
    return rows.take(pc.sort_indices(sought, sort_keys=[(key, "ascending") for key in keys]))


def _changes(same: pa.BooleanArray) -> tuple[int, ...]:
    """The first and the last row that is not the same as the one before, if any."""
    changed = pc.invert(same)
    first = pc.index(changed, value=True).as_py()
    if first < 0:
        return ()
    last = pc.indices_nonzero(changed)[-1].as_py()
    return first + 1, last + 1


def _same_as_before(rows: pa.RecordBatch, columns: tuple[str, ...]) -> pa.BooleanArray:
    """Whether each row but the first is as the one before."""
    here = (rows.column(name) for name in columns)
    return reduce(pc.and_, (pc.equal(c.slice(1), c.slice(0, len(c) - 1)) for c in here))
