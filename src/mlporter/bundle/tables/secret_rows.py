"""Which rows of a bundle hold secrets, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.types import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table

__all__ = ["SecretCounter", "has_secrets"]


def has_secrets(table: Table) -> bool:
    """Whether a table, or a column of it, is made for secrets."""
    return table.kind is Kind.SECRET or any(column.secret for column in table.columns)


class SecretCounter:
    """Counts the secrets of one table as its rows pass by."""

    def __init__(self, table: Table) -> None:
        """Count in rows of `table`, which `has_secrets`."""
        self._table = table
        self.found: dict[str, int] = {}
        """Rows by the name of the table where all of it is secret, else values by
        ``table.column``; what holds none is not in it."""

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass rows on as they are."""
        name = self._table.name
        columns = [column.name for column in self._table.columns if column.secret]
        for batch in batches:
            if self._table.kind is Kind.SECRET:
                self._add(name, batch.num_rows)
            else:
                for column in columns:
                    values = batch.column(column)
                    self._add(f"{name}.{column}", len(values) - values.null_count)
            yield batch

    def _add(self, what: str, count: int) -> None:
        if count:
            self.found[what] = self.found.get(what, 0) + count
