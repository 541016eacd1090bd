"""What a database can hold, asked before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table

    Rows = Callable[[], Iterator[pa.RecordBatch]]
    """Reads the rows of a table that are to be written, as often as it is called."""

__all__ = ["Limits"]


class Limits(Protocol):
    """What a database says of itself, where that is more than the catalogue knows."""

    def misfits(self, table: Table, rows: Rows, *, fresh: bool) -> Iterator[str]:
        """A sentence for every value that it would refuse or change, and every clash of keys.

        Args:
            table: The table and the columns that are written.
            rows: What is written; called more than once.
            fresh: Whether what is there does not count: it is what MLflow puts into a new one.
        """
