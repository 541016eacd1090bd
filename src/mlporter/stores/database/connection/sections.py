"""A large table as sections: rows of some of its owners, whose statements follow one another.

An owner is what the first column of a table's key names: a run, a trace. All rows of some owners
that follow one another are a section, so sections one after the other are the table, sorted. It is
asked for by the owners' names, as an index by name is of use whatever the database's collation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.bundle.tables.rows import python_rows
from mlporter.catalogue.types import Column, Table
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.connection.sql_filters import where_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LARGE", "counting", "has_owners", "rows_each", "sections"]

LARGE = 200_000
"""Rows from which on a table is worth several connections."""

_BYTES = 12 << 20
"""The most of a section, as its table lies: some 100,000 metric points."""
_TURNS = 4
"""How many sections a connection reads at least, so that all are done at about the same time."""
_MOST_OWNERS = 5_000
"""The most that are named in a statement."""


def has_owners(table: Table) -> bool:
    """Whether the rows of a table are those of owners that have names."""
    return len(table.key) > 1 and pa.types.is_string(table.by_name[table.key[0]].type)


def counting(table: Table) -> tuple[Table, str]:
    """What tells the owners of a table, and how many rows each has.

    Returns:
        A table of two columns, the owners and ``rows``, and the SQL that stands for it.
    """
    owner = table.by_name[table.key[0]]
    columns = (Column(owner.name, owner.type, nullable=False), Column("rows", pa.int64()))
    name = quoted(owner.name)
    select = f'SELECT {name}, count(*) AS "rows" FROM {quoted(table.name)} GROUP BY {name}'
    return Table(f"{table.name} by owner", (owner.name,), columns), f'({select}) AS "by_owner"'


def rows_each(rows: int, size: int, connections: int) -> int:
    """How many rows a section of a table should have.

    Args:
        rows: Of the table.
        size: Its bytes in the database.
        connections: By which it is read.
    """
    return max(1, min(rows * _BYTES // size, rows // (_TURNS * connections)))


def sections(table: Table, counts: Iterable[pa.RecordBatch], each: int) -> Iterator[str]:
    """One ``WHERE`` a section; read one after the other their rows are those of the table, by key.

    Args:
        table: Which; see `has_owners`.
        counts: Its owners, in order, and how many rows each has.
        each: About how many rows a section is to have. One with more is that of a single owner.
    """
    owners: list[str] = []
    held = 0
    for batch in counts:
        for owner, rows in python_rows(batch):
            if owners and (held + rows > each or len(owners) == _MOST_OWNERS):
                yield where_in(table.key[0], owners)
                owners, held = [], 0
            owners.append(owner)
            held += rows
    if owners:
        yield where_in(table.key[0], owners)
