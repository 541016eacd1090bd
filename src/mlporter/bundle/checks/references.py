"""Whether every reference that MLflow's schema enforces has the row that it refers to.

Keys that are referred to are kept in a temporary file, so that memory does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.bundle.tables.rows import distinct, python_rows
from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from mlporter.catalogue.types import Reference, Table

__all__ = ["DANGLING", "REFERENCE", "Dangling", "ReferenceCheck", "Wanted"]

REFERENCE, DANGLING = "reference", "dangling"
"""The kind and the reason of an entry about a reference that has no row."""
_NOT_CARRIED = {Kind.SECRET, Kind.TRANSIENT, Kind.DERIVED}


@dataclass(frozen=True)
class Dangling:
    """A reference of some rows of a table for which there is no row: all with the same value."""

    table: str
    reference: Reference
    values: tuple[object, ...]

    @property
    def path(self) -> str:
        """What is lacking, in one word: ``runs.run_uuid=0a1b``."""
        pairs = zip(self.reference.targets, self.values, strict=True)
        named = ", ".join(f"{name}={value}" for name, value in pairs)
        return f"{self.reference.table}.{named}"

    def __str__(self) -> str:
        named = ", ".join(
            f"{name} {value!r:.100}"
            for name, value in zip(self.reference.columns, self.values, strict=True)
        )
        return f"{named}: no such row in {self.reference.table}"

    def entry(self, became: str) -> LeftOut:
        """It as something that people must know of; `became` is a clause."""
        return LeftOut(REFERENCE, self.table, self.path, DANGLING, f"{self}; {became}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The distinct values of some columns: of all rows, or where a column has a value."""

    columns: tuple[str, ...]
    where: tuple[str, str] | None = None

    def of(self, batch: pa.RecordBatch) -> pa.Table:
        """Those of some rows."""
        where = self.where
        rows = batch.filter(pc.equal(batch[where[0]], where[1])) if where else batch
        return distinct(rows, self.columns)


class ReferenceCheck:
    """Takes the rows of all tables, those referred to preferably first, and says what dangles."""

    def __init__(self, tables: Iterable[Table], counts: Mapping[str, int]) -> None:
        """Follow the references between these tables, of so many rows."""
        self._scratch = Scratch()
        self._keys: dict[tuple[str, tuple[str, ...]], _Keys] = {}
        self._followed: list[_Followed] = []
        self._lost: set[str] = set()
        by_name = {table.name: table for table in tables}
        for table in by_name.values():
            for reference in table.references:
                if _is_checked(table, reference, by_name, counts):
                    self._follow(table.name, reference)

    def _follow(self, table: str, reference: Reference) -> None:
        target = (reference.table, reference.targets)
        if target not in self._keys:
            self._keys[target] = _Keys(self._scratch, f"keys{len(self._keys)}", *target)
        name = f"unmet{len(self._followed)}"
        keys = self._keys[target]
        self._followed.append(_Followed(self._scratch, name, table, reference, keys))

    def columns_of(self, table: Table) -> tuple[str, ...]:
        """The columns that `take` needs of a table."""
        asked = self.wanted(table.name)
        return tuple(
            dict.fromkeys(name for one in asked for name in (*one.columns, *(one.where or ())[:1]))
        )

    def wanted(self, table: str) -> tuple[Wanted, ...]:
        """What `take_found` needs of a table."""
        return tuple(taker.wanted for taker in self._takers(table))

    def take(self, table: str, batch: pa.RecordBatch) -> None:
        """Take rows of a table; those of several tables may come from several threads."""
        for taker in self._takers(table):
            taker.take(taker.wanted.of(batch))

    def take_found(self, table: str, found: Sequence[pa.Table]) -> None:
        """Take what is `wanted` of rows of a table, or nothing where there are none."""
        for taker, rows in zip(self._takers(table) if found else (), found, strict=True):
            taker.take(rows)

    def _takers(self, table: str) -> tuple[_Keys | _Followed, ...]:
        takers: list[_Keys | _Followed] = [*self._keys.values(), *self._followed]
        return tuple(taker for taker in takers if taker.table == table)

    def lost(self, table: str) -> None:
        """Say that some rows of a table could not be read: nothing is said to be lacking there."""
        self._lost.add(table)

    def dangling(self) -> Iterator[Dangling]:
        """Every value of a reference for which there is no row, now that all were taken."""
        for followed in self._followed:
            if followed.reference.table not in self._lost:
                yield from followed.dangling()

    def close(self) -> None:
        """Free the temporary space."""
        self._scratch.close()


class _Keys:
    """The values of columns that something refers to."""

    def __init__(self, scratch: Scratch, name: str, table: str, columns: tuple[str, ...]) -> None:
        self.name = name
        self.table = table
        self.wanted = Wanted(columns)
        self._scratch = scratch
        self._insert = _create(scratch, name, len(columns))

    def take(self, rows: pa.Table) -> None:
        self._scratch.run_many(self._insert, python_rows(rows))


class _Followed:
    """A reference of one table: its values for which no key was seen yet."""

    def __init__(
        self, scratch: Scratch, name: str, table: str, reference: Reference, keys: _Keys
    ) -> None:
        self.table = table
        self.reference = reference
        self.wanted = Wanted(reference.columns, reference.where)
        self._scratch = scratch
        self._name = name
        width = len(reference.columns)
        _create(scratch, name, width)
        self._insert = _create(scratch, f"{name}_new", width)
        same = " AND ".join(f"k.c{i} = u.c{i}" for i in range(width))
        # The names are made here, from numbers.
        self._lacking = f"WHERE NOT EXISTS (SELECT 1 FROM {keys.name} k WHERE {same})"  # noqa: S608

    def take(self, rows: pa.Table) -> None:
        new = f"{self._name}_new"
        self._scratch.run_many(self._insert, python_rows(rows))
        self._scratch.run(
            f"INSERT OR IGNORE INTO {self._name} SELECT * FROM {new} u {self._lacking}"  # noqa: S608
        )
        self._scratch.run(f"DELETE FROM {new}")  # noqa: S608

    def dangling(self) -> Iterator[Dangling]:
        unmet = self._scratch.rows(f"SELECT * FROM {self._name} u {self._lacking}")  # noqa: S608
        for row in unmet:
            yield Dangling(self.table, self.reference, row)


def _create(scratch: Scratch, name: str, width: int) -> str:
    """Create a table of distinct tuples; returns the statement that adds one."""
    columns = ", ".join(f"c{i}" for i in range(width))
    scratch.run(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({columns})) WITHOUT ROWID")
    return f"INSERT OR IGNORE INTO {name} VALUES ({', '.join('?' * width)})"  # noqa: S608


def _is_checked(
    table: Table, reference: Reference, tables: dict[str, Table], counts: Mapping[str, int]
) -> bool:
    """Whether a reference must have its row here."""
    target = tables.get(reference.table)
    if target is None or not reference.enforced or reference.may_dangle:
        return False
    if target.kind in _NOT_CARRIED and not counts[target.name]:
        return False
    where = (reference.where[0],) if reference.where else ()
    has = set(table.schema.names) >= {*reference.columns, *where}
    return has and set(target.schema.names) >= set(reference.targets)
