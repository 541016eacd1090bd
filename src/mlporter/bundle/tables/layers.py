"""Tables in layers: rows that came later replace those of the same owners in the layers below.

A snapshot writes of a large table only what is not as in the snapshot before: all rows of those
owners (runs, say) that have changed, been added or been removed. What is read is the table as it
was then, in the order of its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.bundle.tables.small_parts import SmallParts
from mlporter.catalogue.tables.own import REPLACED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from mlporter.bundle.documents.manifest_entries import TableEntry
    from mlporter.bundle.tables.read_parts import PartFiles
    from mlporter.catalogue.types import Table

__all__ = ["LayeredTables", "owner_columns", "owner_names", "replaced_batches"]

_WORKSPACE = "workspace"
_OWNED_FILES = ("owner_kind", "owner_id")
_SEPARATOR = "\0"

Owners = dict[int, set[str]]
"""By layer: whose rows it replaces."""


def owner_columns(table: Table) -> tuple[str, ...]:
    """The first columns of a table's key that tell whose its rows are; none if it has no layers.

    Of most tables it is the first one (the run of a metric); a name is one in a workspace.
    """
    if not table.key:
        return ()
    if table.key[:2] == _OWNED_FILES:
        found: tuple[str, ...] = _OWNED_FILES
    elif table.key[0] == _WORKSPACE and len(table.key) > 1:
        found = table.key[:2]
    else:
        found = table.key[:1]
    kinds = [table.by_name[name].type for name in found]
    texts = all(pa.types.is_string(kind) for kind in kinds)
    whole = len(kinds) == 1 and pa.types.is_integer(kinds[0])
    return found if texts or whole else ()


def owner_names(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Array:
    """Whose each row is, as a text."""
    found = _order(batch, columns)
    return found if pa.types.is_string(found.type) else found.cast(pa.string())


def _order(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.Array:
    """Whose each row is, as what the rows are sorted by."""
    first = batch.column(columns[0])
    if len(columns) == 1:
        return first
    # No name of a workspace or a kind of owner holds a NUL: the order stays the same.
    return pc.binary_join_element_wise(first, batch.column(columns[1]), _SEPARATOR)


def replaced_batches(owners: Mapping[str, Owners]) -> Iterator[pa.RecordBatch]:
    """Rows of the table ``replaced``, of whose rows the layers of each table replace."""
    rows = [
        (table, layer, owner)
        for table in sorted(owners, key=str.encode)
        for layer in sorted(owners[table])
        for owner in sorted(owners[table][layer], key=str.encode)
    ]
    if rows:
        columns = zip(*rows, strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, REPLACED.schema, strict=True)],
            schema=REPLACED.schema,
        )


class LayeredTables:
    """Reads tables of a manifest, those with layers too."""

    def __init__(self, files: PartFiles, entries: Mapping[str, TableEntry]) -> None:
        """Read parts of `files`."""
        self._parts = SmallParts(files)
        self._entries = entries
        self.replaced: Mapping[str, Owners] | None = None

    def owners(self, table: str) -> Owners:
        """By layer: whose rows it replaces in those below."""
        if self.replaced is None:
            self.replaced = self._read_replaced()
        return self.replaced.get(table, {})

    def _read_replaced(self) -> dict[str, Owners]:
        found: dict[str, Owners] = {}
        entry = self._entries.get(REPLACED.name)
        if entry is not None and entry.kind == REPLACED.kind.value:
            for batch in self._parts.read(REPLACED, entry.parts):
                for name, layer, owner in zip(*(c.to_pylist() for c in batch), strict=True):
                    found.setdefault(name, {}).setdefault(layer, set()).add(owner)
        return found

    def read(
        self, table: Table, columns: tuple[str, ...] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a table by its key, in batches of bounded size; all columns, or some.

        Raises:
            BundleDamagedError: a part does not match the manifest.
            UnreachableError: a part cannot be read.
        """
        entry = self._entries[table.name]
        if not entry.layers:
            yield from self._parts.read(table, entry.parts, columns)
            return
        whose = owner_columns(table)
        wanted = None if columns is None else tuple(dict.fromkeys((*columns, *whose)))
        names = list(columns) if columns is not None else table.schema.names
        for batch in self._merged(table, entry, wanted, whose):
            yield batch.select(names)

    def _merged(
        self,
        table: Table,
        entry: TableEntry,
        columns: tuple[str, ...] | None,
        whose: tuple[str, ...],
    ) -> Iterator[pa.RecordBatch]:
        replaced = self.owners(table.name)
        found: Iterator[pa.RecordBatch] = iter(())
        for layer in range(entry.layers + 1):
            parts = [part for part in entry.parts if part.layer == layer]
            above: set[str] = set().union(*(o for at, o in replaced.items() if at > layer))
            rows = _without(self._parts.read(table, parts, columns), above, whose)
            found = merge(found, rows, lambda batch: _order(batch, whose))
        return found


def _without(
    batches: Iterable[pa.RecordBatch], owners: Collection[str], whose: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    """Rows but those of some owners."""
    if not owners:
        yield from batches
        return
    gone = pa.array(sorted(owners), pa.string())
    for batch in batches:
        kept = batch.filter(pc.invert(pc.is_in(owner_names(batch, whose), value_set=gone)))
        if kept.num_rows:
            yield kept


def merge(
    one: Iterator[pa.RecordBatch],
    other: Iterator[pa.RecordBatch],
    order: Callable[[pa.RecordBatch], pa.Array],
) -> Iterator[pa.RecordBatch]:
    """Two sorted streams as one; no value of `order` is in both."""
    a, b = _Front(one, order), _Front(other, order)
    while a.batch is not None and b.batch is not None:
        if (taken := a.below(b)) or (taken := b.below(a)):
            yield taken
        else:
            raise ValueError("the same owner is in two layers")
    for rest in (a, b):
        while rest.batch is not None:
            yield rest.take(rest.batch.num_rows)


class _Front:
    """What comes next of a stream."""

    def __init__(
        self, batches: Iterator[pa.RecordBatch], order: Callable[[pa.RecordBatch], pa.Array]
    ) -> None:
        self._batches = batches
        self._order = order
        self.batch: pa.RecordBatch | None = None
        self._next()

    def _next(self) -> None:
        self.batch = next((b for b in self._batches if b.num_rows), None)
        self._values = None if self.batch is None else self._order(self.batch)

    def below(self, other: _Front) -> pa.RecordBatch | None:
        """Take the rows that come before the first of the other stream, if any do."""
        if self._values is None or other._values is None:
            return None
        count = pc.sum(pc.less(self._values, other._values[0])).as_py()
        return self.take(count) if count else None

    def take(self, count: int) -> pa.RecordBatch:
        """Take so many rows."""
        if self.batch is None or self._values is None:
            raise ValueError("nothing is left")
        taken = self.batch.slice(0, count)
        if count == self.batch.num_rows:
            self._next()
        else:
            self.batch, self._values = self.batch.slice(count), self._values.slice(count)
        return taken
