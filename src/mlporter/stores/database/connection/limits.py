"""What a database can hold, asked before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.addresses.address import AddressKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.source import DatabaseReader

    Rows = Callable[[], Iterator[pa.RecordBatch]]
    """Reads the rows of a table that are to be written, as often as it is called."""

__all__ = ["Limits", "limits_of", "marked", "row_name"]


class Limits(Protocol):
    """What a database says of itself, where that is more than the catalogue knows."""

    def misfits(self, table: Table, rows: Rows, *, fresh: bool) -> Iterator[str]:
        """A sentence for every value that it would refuse or change, and every clash of keys.

        Args:
            table: The table and the columns that are written.
            rows: What is written; called more than once.
            fresh: Whether what is there does not count: it is what MLflow puts into a new one.
        """


def limits_of(reader: DatabaseReader) -> Limits | None:
    """What a database says itself; None where the catalogue says all there is to say."""
    if reader.address.kind is not AddressKind.MYSQL:
        return None
    from mlporter.stores.database.mysql.limits import MysqlLimits  # noqa: PLC0415 -- it needs us

    # The connection is the only one of its reader, which other threads may use meanwhile.
    with reader.borrowed() as connection:
        return MysqlLimits(connection)


def marked(mask: pa.Array) -> list[int]:
    """The positions at which a mask is true."""
    return [int(row) for row in pc.indices_nonzero(mask).to_pylist()]


def row_name(table: Table, batch: pa.RecordBatch, row: int) -> str:
    """A row's table and key, short enough for one line."""
    parts = [str(batch.column(key)[row].as_py()) for key in table.order]
    return f"{table.name} {'/'.join(part[:60] for part in parts)!r}"
