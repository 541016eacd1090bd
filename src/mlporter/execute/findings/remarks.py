"""What of a source's rows people must know of, though it is copied: names and not numbers.

References to rows that are not there, as SQLite checks none; and NUL characters in texts, which
not every database takes.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.checks.references import ReferenceCheck
from mlporter.errors import LeftOut
from mlporter.plan.table_plan import plan_transfer
from mlporter.selection.selected_source import SelectedSource
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.database.connection.values import StrangeValueError
from mlporter.stores.protocols import points_by_run
from mlporter.stores.rows.filters import with_nul
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.bundle.checks.references import Dangling
    from mlporter.catalogue.types import Table
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source

__all__ = ["NUL", "Nuls", "Remarks", "Seen", "look_through"]

NUL = "nul"
"""The reason for which an entry names a text with a NUL character."""

CARRIED = "the rows are copied, and refer to nothing, as they did"

_MOST = 10_000
"""How many NUL characters are named; of the rest it is said how many they are."""

_METRICS = "metrics"


class Nuls:
    """Finds texts with a NUL character as rows go by, those of several tables maybe in threads."""

    def __init__(self, tables: Iterable[Table] = ()) -> None:
        """Look at the texts of these tables, and pass others by."""
        self._tables = {table.name: table for table in tables}
        self._texts = {
            table.name: [c.name for c in table.columns if pa.types.is_string(c.type)]
            for table in self._tables.values()
        }
        self._lock = Lock()
        self._nuls: list[LeftOut] = []
        self._more_nuls = 0

    def watch(self, table: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the rows of a table on."""
        for batch in batches:
            self.take(table, batch)
            yield batch

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        """Look at rows of a table."""
        for name in self._texts.get(table, ()):
            index = batch.schema.get_field_index(name)
            for row in with_nul(batch.column(index)) if index >= 0 else ():
                self._take(self._tables[table], name, batch, row)

    def _take(self, table: Table, name: str, batch: pa.RecordBatch, row: int) -> None:
        with self._lock:
            if len(self._nuls) >= _MOST:
                self._more_nuls += 1
                return
            key = "/".join(str(batch[part][row].as_py()) for part in table.order)
            what = "" if table.by_name[name].secret else f": {batch[name][row].as_py()[:80]!r}"
            sentence = f"{name} holds a NUL character, copied as it is{what}"
            detail = f"{sentence}; PostgreSQL takes none"
            self._nuls.append(LeftOut("value", f"{table.name}/{key}", name, NUL, detail))

    def entries(self) -> Iterator[LeftOut]:
        """The texts that have one, now that all rows were seen."""
        yield from sorted(self._nuls, key=lambda item: (item.id, item.path))
        if self._more_nuls:
            detail = f"{self._more_nuls} more values hold a NUL character, copied as they are"
            yield LeftOut("value", "…", "", NUL, detail)


class Remarks:
    """Looks at rows as they go by, those of several tables maybe in several threads."""

    def __init__(self, tables: Iterable[Table], counts: Mapping[str, int]) -> None:
        """Look at these tables, of so many rows."""
        self._tables = {table.name: table for table in tables}
        self._nuls = Nuls(self._tables.values())
        self._references = ReferenceCheck(self._tables.values(), counts)

    def watch(self, table: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the rows of a table on."""
        for batch in batches:
            self.take(table, batch)
            yield batch

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        """Look at rows of a table."""
        self._references.take(table, batch)
        self._nuls.take(table, batch)

    def watch_texts(
        self, table: str, batches: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Pass rows of a table on, looking at their texts: whose they are, `take_keys` was told."""
        return self._nuls.watch(table, batches)

    def take_keys(self, table: str, batch: pa.RecordBatch) -> None:
        """Look at whose rows of a table are there, where these themselves are not read.

        Each column of the batch that is not one of the table's is passed over.
        """
        needed = self.needed(self._tables[table])
        if set(needed) <= set(batch.schema.names):
            self._references.take(table, batch.select(list(needed)))

    def needed(self, table: Table) -> tuple[str, ...]:
        """The columns of a table that tell what dangles."""
        return self._references.columns_of(table)

    def dangling(self) -> Iterator[Dangling]:
        """Every value of a reference that has no row, now that all rows were seen."""
        yield from self._references.dangling()

    def entries(self) -> Iterator[LeftOut]:
        """What people must know of, now that all rows were seen and all of them are copied."""
        for found in self.dangling():
            yield found.entry(CARRIED)
        yield from self.nuls()

    def nuls(self) -> Iterator[LeftOut]:
        """The texts with a NUL character."""
        yield from self._nuls.entries()

    def close(self) -> None:
        """Free the temporary space."""
        self._references.close()


@dataclass(frozen=True)
class Seen:
    """What a look at a source's rows found.

    Attributes:
        dangling: Values of references that have no row.
        others: What else people must know of.
        is_news: Whether nobody has reported it: an export reports what is in a bundle.
        later: Looks at the rows that were not looked at, when they are read to be written.
    """

    dangling: tuple[Dangling, ...] = ()
    others: tuple[LeftOut, ...] = ()
    is_news: bool = True
    later: Nuls = field(default_factory=Nuls)

    def carried(self) -> tuple[LeftOut, ...]:
        """What people must know of where all of the rows are copied."""
        return (*(found.entry(CARRIED) for found in self.dangling), *self.others)


def look_through(
    source: Source,
    on_progress: OnProgress,
    skip: frozenset[str] = frozenset(),
    *,
    points_later: bool = False,
) -> Seen:
    """Read the tables of a source that are copied, for what there is to be said of their rows.

    What does not fit its column is then known to the source itself. Of a bundle only the columns
    are read that refer to something. PostgreSQL has seen to all that; and a server's rows are
    asked for once. Tables to `skip` are known not to be worth the time.

    With `points_later` metric points are not read here if the source can tell whose they are: most
    rows of a registry are read once less then. Only where something dangles they are: what stays
    behind is counted, and must not be taken for something that does not fit.
    """
    kind = source.description.kind
    if kind in {AddressKind.POSTGRESQL.value, AddressKind.SERVER.value}:
        return Seen()
    points = _points_of(source) if points_later and _METRICS not in skip else None
    # Rows are counted afterwards: then it is known which do not fit.
    some = {table.name: 1 for table in source.tables}
    tables = plan_transfer(source.tables, some, include_secrets=False).tables
    is_told = kind == AddressKind.BUNDLE.value
    with ExitStack() as stack:
        remarks = stack.enter_context(closing(Remarks(tables, some)))
        if points is not None:
            stack.callback(points.close)
        later = []
        for table in (table for table in tables if table.name not in skip):
            needed = remarks.needed(table)
            batches: Iterable[pa.RecordBatch] = ()
            if table.name == _METRICS and points is not None and needed in {(), ("run_uuid",)}:
                batches = points.read()
                later.append(table)
            elif not is_told or needed:
                batches = source.read(table.name, needed if is_told else None)
            step, done = f"looking through {table.name}", 0
            for batch in batches:
                (remarks.take_keys if table in later else remarks.take)(table.name, batch)
                done += batch.num_rows
                on_progress(step, done, None)
            on_progress(step, done, done)
        others = () if is_told else tuple(remarks.nuls())
        seen = Seen(tuple(remarks.dangling()), others, not is_told, Nuls(later))
    return look_through(source, on_progress, skip) if later and seen.dangling else seen


def _points_of(source: Source) -> RowSpool | None:
    """Whose metric points there are, if the source tells it without giving them.

    None of a part of a source, as it tells of the whole; and if a run's id does not fit its column.
    """
    counted = None if _is_part(source) else points_by_run(source)
    if counted is None:
        return None
    spool = RowSpool()
    try:
        for _ in spool.watch(counted):
            pass
    except StrangeValueError:
        spool.close()
        return None
    return spool


def _is_part(source: object) -> bool:
    """Whether it is a selection, or another view of one."""
    while source is not None and not isinstance(source, SelectedSource):
        source = getattr(source, "inner", None)
    return source is not None
