"""Columns that only a newer MLflow has, left where they are: a server has no place for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.found import new_columns
from mlporter.compare.rows.shape import says_something
from mlporter.errors import LeftOut
from mlporter.stores.protocols import Wrapped
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Among, Source

__all__ = ["WithoutNewColumns", "without_new_columns"]


def without_new_columns(source: Source) -> Source:
    """A source with the columns that the catalogue knows, if it has others."""
    new = {table.name: new_columns(table, BY_NAME) for table in source.tables}
    new = {name: columns for name, columns in new.items() if columns}
    return WithoutNewColumns(source, new) if new else source


class WithoutNewColumns(Wrapped):
    """A source without some columns, which are named among what is left out.

    Args:
        inner: What has them.
        new: By table, their names.
    """

    def __init__(self, inner: Source, new: dict[str, tuple[str, ...]]) -> None:
        super().__init__(inner)
        self._new = new
        self._tables = {t.name: self._known(t) for t in inner.tables}

    def _known(self, table: Table) -> Table:
        new = self._new.get(table.name, ())
        return table.only(frozenset(table.by_name) - set(new)) if new else table

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables, without those columns."""
        return tuple(self._tables.values())

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if columns is None and table in self._new:
            columns = tuple(self._tables[table].schema.names)
        return self.inner.read(table, columns, among)

    def losses(self) -> Iterator[LeftOut]:
        """What cannot be read, and the columns that say something."""
        yield from self.inner.losses()
        for table in self.inner.tables:
            for name in self._new.get(table.name, ()):
                column = table.by_name[name]
                batches = self.inner.read(table.name, (name,))
                values = sum(says_something(b.column(0), column, table.key) for b in batches)
                if values:
                    detail = f"{plural(values, 'value')}: not copied into a server"
                    yield LeftOut("column", table.name, name, "unsupported", detail)
