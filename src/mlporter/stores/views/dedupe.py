"""Each row once: for places with keys, from places that have none.

A file store permits that a metric's point is written twice, and so does a bundle of one. Databases
refuse it. What is left away is counted, and reported.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.errors import LeftOut
from mlporter.stores.protocols import Wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlporter.stores.protocols import Among, Source

__all__ = ["Deduplicated", "repeats_previous_key"]


class Deduplicated(Wrapped):
    """`mlporter.stores.protocols.Source` without the rows that are exactly like another."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner)
        self._repeating = {table.name: table for table in inner.tables if table.repeats}

    @cached_property
    def _surplus(self) -> dict[str, int]:
        """Rows that are like another, by table; found by reading once."""
        found = {}
        for name, table in self._repeating.items():
            rows = sum(batch.num_rows for batch in self.read(name, table.key))
            found[name] = self.inner.count(name) - rows
        return found

    def count(self, table: str) -> int:
        """Rows of a table, each once."""
        surplus = self._surplus.get(table, 0) if table in self._repeating else 0
        return self.inner.count(table) - surplus

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key, each once."""
        entry = self._repeating.get(table)
        if entry is None:
            return self.inner.read(table, columns, among)
        wanted = columns if columns is None else tuple(dict.fromkeys((*columns, *entry.key)))
        return _once(self.inner.read(table, wanted, among), entry.key, columns)

    def losses(self) -> Iterator[LeftOut]:
        """What could not be read, and how many rows are like another."""
        yield from self.inner.losses()
        for name, count in self._surplus.items():
            if count:
                detail = _sentence(count)
                yield LeftOut("table", name, "", "duplicate", detail, expected=True)


def _sentence(count: int) -> str:
    rows = (
        "1 row is exactly like another" if count == 1 else f"{count} rows are exactly like others"
    )
    return f"{rows}: a database holds such a row once"


def _once(
    batches: Iterator[pa.RecordBatch], key: tuple[str, ...], columns: tuple[str, ...] | None
) -> Iterator[pa.RecordBatch]:
    last: list[object] | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        again = repeats_previous_key(batch, key)
        again[0] = last == [batch.column(name)[0].as_py() for name in key]
        last = [batch.column(name)[-1].as_py() for name in key]
        kept = batch.filter(pa.array(~again)) if again.any() else batch
        if kept.num_rows:
            yield kept if columns is None else kept.select(list(columns))


def repeats_previous_key(batch: pa.RecordBatch, key: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which rows, sorted by `key`, have the key of the row before; of the first nothing is known.

    Numbers are looked at first: they tell most rows apart, and texts take longer.
    """
    alike = np.zeros(batch.num_rows, dtype=np.bool_)
    rows = np.arange(1, batch.num_rows)
    columns = [batch.column(name) for name in key]
    for column in sorted(columns, key=lambda column: not pa.types.is_primitive(column.type)):
        if not len(rows):
            return alike
        here, before = column.take(pa.array(rows)), column.take(pa.array(rows - 1))
        same = pc.equal(here, before).to_numpy(zero_copy_only=False)
        rows = rows[same.astype(np.bool_)]
    alike[rows] = True
    return alike
