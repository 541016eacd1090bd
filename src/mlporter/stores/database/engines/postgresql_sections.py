"""Large tables of PostgreSQL, read by several connections that share its snapshot."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mlporter.errors import MlporterError
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.sections import (
    LARGE,
    counting,
    has_owners,
    rows_each,
    sections,
)
from mlporter.stores.database.connection.side_by_side import SideBySide
from mlporter.stores.database.connection.sql_filters import literal
from mlporter.stores.database.connection.values import StrangeValueError
from mlporter.stores.rows.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.connection.unfit_values import Asked, UnfitValueReader

__all__ = ["LargeTables"]

_log = logging.getLogger(__name__)

_SPARE = 3
"""Connections that stay free for tables that are read at the same time."""

_SETTINGS = {
    # As long as nobody analyzed a table, the server takes a section for most of it.
    "enable_seqscan": "off",
    # A section is sorted in memory: with the usual 4 MB it took a tenth more processor time.
    "work_mem": "32MB",
    # There are several connections instead.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # Names of owners may have backslashes.
    "standard_conforming_strings": "on",
}

_INDEXED = """
SELECT pg_table_size(i.indrelid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE i.indrelid = to_regclass({table}) AND a.attname = {column} AND m.amname = 'btree'
    AND i.indisvalid AND i.indpred IS NULL
    AND coalesce(to_jsonb(l)->>'collisdeterministic', 'true') = 'true'
LIMIT 1
"""
"""The bytes of a table that has an index by its owners, in which equal texts have equal bytes."""


class LargeTables:
    """Reads tables by one connection, or large ones by several.

    Args:
        jobs: The most connections for one table.
        borrowed: Lends a connection into the snapshot, a new one if need be.
        alone: Lets nobody else open a connection meanwhile: all that there may be are tried for.
        careful: Reads value by value where some do not fit.
        spare: Connections that must be left for tables that are read at the same time.

    Attributes:
        notes: Sentences for people, where there was one connection instead.
    """

    def __init__(
        self,
        jobs: int,
        borrowed: Callable[[], AbstractContextManager[Connection]],
        alone: AbstractContextManager[object],
        careful: UnfitValueReader,
        spare: int = _SPARE,
    ) -> None:
        self._jobs = jobs
        self._borrowed = borrowed
        self._alone = alone
        self._careful = careful
        self._spare = spare
        self._open: set[SideBySide[Asked]] = set()
        self.notes: tuple[str, ...] = ()

    def read(self, asked: Asked, count: Callable[[], int]) -> Iterator[pa.RecordBatch]:
        """Rows by key, the same ones in the same order whatever the number of connections.

        Args:
            asked: All rows of a table that is read itself, or some.
            count: Tells how many rows the table has.
        """
        may_be = self._jobs > 1 and not asked.where and has_owners(asked.table)
        rows = count() if may_be else 0
        with ExitStack() as stack:
            first = stack.enter_context(self._borrowed())
            size = _indexed_bytes(first, asked.table) if rows >= LARGE else 0
            owners = _owners(first, asked.table, stack) if size else None
            others = self._more(stack) if owners else []
            if owners is None or not others:
                yield from self._careful.read(first, asked)
                return
            connections = [first, *others]
            for connection in connections:
                stack.enter_context(_set_for_sections(connection))
            where = sections(asked.table, owners.read(), rows_each(rows, size, len(connections)))
            statements = (replace(asked, where=one) for one in where)
            side_by_side = stack.enter_context(self._opened(statements, connections))
            yield from self._careful.read(first, asked, side_by_side.rows())

    @contextmanager
    def _opened(
        self, statements: Iterator[Asked], connections: list[Connection]
    ) -> Iterator[SideBySide[Asked]]:
        """Reading that ends with this, or with `close` if that comes first."""
        made = SideBySide(statements, connections, _read)
        self._open.add(made)
        try:
            yield made
        finally:
            made.close()
            self._open.discard(made)

    def _more(self, stack: ExitStack) -> list[Connection]:
        """As many connections beside the first as were asked for; none if they are not to be had.

        Some for other tables must be, too: what this one takes is in nobody's way.
        """
        with self._alone:  # until it is known that there are none, so that it is said once
            try:
                return self._taken(stack)
            except MlporterError as error:
                reason = f"not by {self._jobs}: {error.message}"
                self._jobs = 1
        said = f"large tables are read by one connection, {reason}"
        _log.warning("%s", said)
        self.notes = (said,)
        return []

    def _taken(self, stack: ExitStack) -> list[Connection]:
        with ExitStack() as taken, ExitStack() as spare:
            more = [taken.enter_context(self._borrowed()) for _ in range(self._jobs - 1)]
            for _ in range(self._spare if more else 0):
                spare.enter_context(self._borrowed())
            stack.push(taken.pop_all())
            return more

    def close(self) -> None:
        """End what is read, so that connections can be closed."""
        for reading in tuple(self._open):
            reading.close()


def _read(connection: Connection, asked: Asked) -> Iterator[pa.RecordBatch]:
    return asked.read_whole(connection)


def _indexed_bytes(connection: Connection, table: Table) -> int:
    """The size of a table that can be read by owners; 0 of others."""
    name, column = literal(quoted(table.name)), literal(table.key[0])
    return int(connection.scalar(_INDEXED.format(table=name, column=column)) or 0)


def _owners(connection: Connection, table: Table, stack: ExitStack) -> RowSpool | None:
    """The owners of rows, and how many each has; None if they have names that are no texts."""
    owners = RowSpool()
    stack.callback(owners.close)
    counted, relation = counting(table)
    try:
        for batch in connection.read(counted, counted.columns, "", relation):
            owners.add(batch)
    except StrangeValueError:
        return None
    owners.end()
    return owners


@contextmanager
def _set_for_sections(connection: Connection) -> Iterator[None]:
    """Have a connection plan statements as is best for sections, and then as before."""
    pairs = (f"set_config({literal(k)}, {literal(v)}, true)" for k, v in _SETTINGS.items())
    connection.rows(f"SELECT {', '.join(pairs)}")
    try:
        yield
    finally:
        # A connection that has failed takes no statement, and is of no use to anybody.
        with suppress(MlporterError):
            for name in () if connection.closed else _SETTINGS:
                connection.execute(f"SET LOCAL {name} TO DEFAULT")
