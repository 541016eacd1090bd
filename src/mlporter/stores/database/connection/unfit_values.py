"""Tables with values that do not fit, read value by value: each is named, and the rest goes on.

A table is read in whole batches until one of them does not fit. From there on, and whenever it is
read again, its values are looked at one by one: that is slow, and only needed for such a table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.types import Column
from mlporter.errors import LeftOut
from mlporter.stores.database.connection.values import Fitted, StrangeValueError, fitted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.connection.values import Raw

__all__ = ["Asked", "UnfitValueReader"]

_AS_TEXT = Column("", pa.string())
_MOST = 10_000
"""How many values of one column are named; of the rest it is said how many they are."""


@dataclass(frozen=True)
class Asked:
    """What is read.

    Attributes:
        table: The table, with the columns that its rows are known by.
        columns: What of it is wanted, in order.
        where: SQL that tells rows apart.
        relation: SQL that stands for the table, if it is not read itself.
    """

    table: Table
    columns: tuple[Column, ...]
    where: str = ""
    relation: str = ""

    def read_whole(self, connection: Connection) -> Iterator[pa.RecordBatch]:
        """The rows by key.

        Raises:
            StrangeValueError: a value does not fit; those before its batch were given.
        """
        return connection.read(self.table, self.columns, self.where, self.relation)

    @property
    def schema(self) -> pa.Schema:
        """The schema of what is wanted."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    def with_needed(self) -> tuple[Column, ...]:
        """The columns to look at: those wanted, and those without which a row is none."""
        wanted = dict.fromkeys(self.columns)
        by_name = {column.name for column in self.columns}
        for column in self.table.columns:
            is_needed = column.name in self.table.key or not column.nullable
            if is_needed and not column.generated and column.name not in by_name:
                wanted[column] = None
        return tuple(wanted)


@dataclass
class _Named:
    """Values of one column that did not fit, by the keys of their rows."""

    by_key: dict[str, LeftOut] = field(default_factory=dict)
    more: set[int] = field(default_factory=set)


class UnfitValueReader:
    """Reads tables of one state of a database, and remembers what did not fit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._strange: dict[str, int | None] = {}
        self._named: dict[tuple[str, str], _Named] = {}

    def read(
        self, connection: Connection, asked: Asked, whole: Iterator[pa.RecordBatch] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows by key; those left out that are none without a value that does not fit.

        Args:
            connection: What they are read by.
            asked: Which.
            whole: The same rows, where another way leads to them as long as all values fit.
        """
        given = 0
        if asked.table.name not in self._strange:
            try:
                for batch in whole or asked.read_whole(connection):
                    given += batch.num_rows
                    yield batch
            except StrangeValueError:
                with self._lock:
                    self._strange.setdefault(asked.table.name, None)
            else:
                return
        for batch, _ in self._carefully(connection, asked, skip=given):
            if batch.num_rows:
                yield batch

    def rows_left_out(self, connection: Connection, asked: Asked) -> int:
        """How many rows of a table `read` does not give; 0 as long as nothing strange was met."""
        if asked.table.name not in self._strange or not asked.with_needed():
            return 0
        known = self._strange[asked.table.name]
        if known is None:
            known = sum(lost for _, lost in self._carefully(connection, asked, skip=0))
            self._strange[asked.table.name] = known
        return known

    @property
    def met_any(self) -> bool:
        """Whether anything that was read did not fit."""
        return bool(self._strange)

    def entries(self) -> Iterator[LeftOut]:
        """What did not fit, of all that was read."""
        with self._lock:
            named = sorted(self._named.items())
        for (table, column), values in named:
            yield from values.by_key.values()
            if values.more:
                detail = f"{len(values.more)} more values of this column do not fit"
                yield LeftOut(table, "…", column, "wrong-type", detail)

    def _carefully(
        self, connection: Connection, asked: Asked, *, skip: int
    ) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Batches, and how many rows were left out of each; the first `skip` rows are passed by."""
        columns = asked.with_needed()
        place = 0
        last: tuple[object, ...] | None = None
        for cells in connection.read_raw(asked.table, columns, asked.where, asked.relation):
            rows = [[] for _ in asked.columns]  # type: list[list[object]]
            size, lost = len(cells[0]), 0
            for row in range(size):
                place += 1
                fits = [
                    fitted(values[row], column)
                    for values, column in zip(cells, columns, strict=True)
                ]
                key = tuple(
                    fit.value
                    for fit, column in zip(fits, columns, strict=True)
                    if column.name in asked.table.key
                )
                raw = [values[row] for values in cells]
                kept = self._look(asked.table, columns, fits, raw, place, is_again=key == last)
                lost += not kept
                if not kept:
                    continue
                last = key or None
                if place > skip:
                    for index, values in enumerate(rows):
                        values.append(fits[index].value)
            arrays = [
                pa.array(values, pa.int32()).cast(column.type)
                if pa.types.is_date(column.type)
                else pa.array(values, column.type)
                for values, column in zip(rows, asked.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=asked.schema), lost

    def _look(  # noqa: PLR0913 -- one row, as it was and as it is
        self,
        table: Table,
        columns: tuple[Column, ...],
        fits: list[Fitted],
        raw: list[Raw],
        place: int,
        *,
        is_again: bool,
    ) -> bool:
        """Name what does not fit in a row; whether the row is copied."""
        stops = [_stops(table, column, fit) for column, fit in zip(columns, fits, strict=True)]
        odd = any(fit.detail for fit in fits)
        if not odd and not any(stops):
            return True
        kept = not any(stops) and not is_again
        name = _name(table, columns, raw)
        for column, fit, stop in zip(columns, fits, stops, strict=True):
            detail = fit.detail
            if not detail and stop:
                detail = "is NULL, which MLflow's schema forbids"
            if not detail:
                continue
            if not kept:
                detail += ": the row is left out"
            else:
                detail += f"; {fit.became}" if fit.became else ": copied as NULL"
            self._name(table.name, column.name, name, place, fit.reason or "null", detail)
        return kept

    def _name(  # noqa: PLR0913, PLR0917 -- what an entry says
        self, table: str, column: str, key: str, place: int, reason: str, detail: str
    ) -> None:
        with self._lock:
            named = self._named.setdefault((table, column), _Named())
            if key in named.by_key or len(named.by_key) < _MOST:
                sentence = f"{column} {detail}"
                named.by_key[key] = LeftOut(table, key, column, reason, sentence)
            else:
                named.more.add(place)


def _stops(table: Table, column: Column, fit: Fitted) -> bool:
    """Whether a row cannot be copied for what one of its values became.

    A key that is another one would be in another place, and might be somebody else's.
    """
    if fit.value is None and not column.nullable:
        return True
    return bool(fit.detail) and column.name in table.key and not fit.ascends


def _name(table: Table, columns: tuple[Column, ...], raw: list[Raw]) -> str:
    """The key of a row as people read it."""
    by_name = dict(zip((column.name for column in columns), raw, strict=True))
    shown = [by_name[name] for name in table.key or (columns[0].name,)]
    return "/".join(
        str(fitted(value, _AS_TEXT).value) if value is not None else "NULL" for value in shown
    )
