"""Rows named in a sentence, and the rows that a mask marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Table

    Rows = Callable[[], Iterator[pa.RecordBatch]]
    """Reads the rows of a table that are to be written, as often as it is called."""

__all__ = ["marked", "row_name"]


def marked(mask: pa.Array) -> list[int]:
    """The positions at which a mask is true."""
    return [int(row) for row in pc.indices_nonzero(mask).to_pylist()]


def row_name(table: Table, batch: pa.RecordBatch, row: int) -> str:
    """A row's table and key, short enough for one line."""
    parts = [str(batch.column(key)[row].as_py()) for key in table.order]
    return f"{table.name} {'/'.join(part[:60] for part in parts)!r}"
