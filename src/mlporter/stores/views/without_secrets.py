"""Secrets stay where they are, unless somebody asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.types import Kind, Table
from mlporter.errors import LeftOut, UsageError
from mlporter.stores.protocols import Wrapped
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Among, Source

__all__ = ["WithoutSecrets"]


class WithoutSecrets(Wrapped):
    """A source without its secrets: secret columns are NULL, secret tables cannot be read.

    Every source is wrapped in this when it is opened, whatever kind of place it is.

    Args:
        inner: The source.
        asked: Tables of other programs that were asked for by name: they are copied whole.
    """

    def __init__(self, inner: Source, asked: tuple[str, ...] = ()) -> None:
        super().__init__(inner)
        self.asked = asked
        self._by_name = {table.name: table for table in inner.tables}

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key, secret columns empty.

        Raises:
            UsageError: the whole table is secret.
        """
        entry = self._by_name.get(table)
        if entry is not None and entry.kind is Kind.SECRET:
            raise UsageError(
                f"table {table} holds secrets, and is not shown",
                subject=self.description.address,
            )
        hidden = self._hidden(entry) if entry is not None else ()
        batches = self.inner.read(table, columns, among)
        return (_blank(batch, hidden) for batch in batches) if hidden else batches

    def left_out(self) -> Iterator[LeftOut]:
        """An entry for each secret column of tables that are copied, if it holds something."""
        carried = {Kind.KEPT, Kind.USERS, Kind.UNKNOWN, Kind.NEWER}
        for table in (table for table in self.tables if table.kind in carried):
            for name in self._hidden(table):
                batches = self.inner.read(table.name, (name,))
                count = sum(batch.num_rows - batch.column(0).null_count for batch in batches)
                if count:
                    sentence = f"{plural(count, 'value')}: secrets are left out"
                    yield LeftOut("column", table.name, name, "secret", sentence)

    def _hidden(self, table: Table) -> tuple[str, ...]:
        is_asked = table.kind is Kind.UNKNOWN and table.name in self.asked
        return () if is_asked else _secret_columns(table)


def _secret_columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.secret)


def _blank(batch: pa.RecordBatch, names: tuple[str, ...]) -> pa.RecordBatch:
    blanked = batch
    for name in names:
        index = batch.schema.get_field_index(name)
        if index >= 0:
            field = batch.schema.field(index)
            blanked = blanked.set_column(index, field, pa.nulls(batch.num_rows, field.type))
    return blanked
