"""What tables and columns a database really has, held against the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import AUTH_TABLES, BOOKKEEPING_TABLES, BY_NAME, TABLES
from mlporter.catalogue.found import in_order
from mlporter.catalogue.tables.columns import looks_secret
from mlporter.catalogue.types import Column, Kind, Reference, Table
from mlporter.stores.database.schema.user_rows import has_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.schema.foreign_keys import ForeignKey

__all__ = ["ActualColumn", "actual_tables", "as_catalogue", "closed_tables"]
__all__ += ["declared_columns"]


@dataclass(frozen=True, slots=True)
class ActualColumn:
    """A column as the database declares it; ``key`` is its place in the primary key, from 1."""

    name: str
    type: str
    key: int = 0
    generated: bool = False


def actual_tables(connection: Connection) -> dict[str, tuple[ActualColumn, ...]]:
    """Tables of the database (of PostgreSQL's current schema) with their columns."""
    sql = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL, "mysql": _MYSQL}[connection.dialect.name]
    tables: dict[str, list[ActualColumn]] = {}
    for table, name, kind, key, generated in connection.rows(sql):
        column = ActualColumn(name, kind.lower(), int(key or 0), bool(generated))
        tables.setdefault(table, []).append(column)
    return {name: tuple(columns) for name, columns in tables.items()}


# hidden: 2 and 3 are generated columns, which SQLite's table_info leaves out. A table without a
# root page is virtual: it holds nothing itself, and needs a module that may not be here.
_SQLITE = """
SELECT t.name, c.name, c.type, c.pk, c.hidden IN (2, 3)
FROM sqlite_master t, pragma_table_xinfo(t.name) c
WHERE t.type = 'table' AND t.rootpage > 0 AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY t.name, c.cid
"""

_POSTGRESQL = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)::text,
       COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0)::int8,
       (a.attgenerated <> '')
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
ORDER BY c.relname, a.attnum
"""

# What is no text comes as bytes, whatever it is called.
_MYSQL = """
SELECT c.table_name, c.column_name,
       CASE WHEN c.data_type IN ('bit', 'vector', 'geometry', 'point', 'linestring', 'polygon',
           'multipoint', 'multilinestring', 'multipolygon', 'geometrycollection', 'geomcollection')
           THEN 'blob' ELSE c.column_type END, k.seq_in_index,
       COALESCE(c.generation_expression, '') <> ''
FROM information_schema.columns c
JOIN information_schema.tables t
  ON t.table_schema = DATABASE() AND t.table_name = c.table_name
  AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
LEFT JOIN information_schema.statistics k
  ON k.table_schema = DATABASE() AND k.table_name = c.table_name
  AND k.column_name = c.column_name AND k.index_name = 'PRIMARY'
WHERE c.table_schema = DATABASE()
ORDER BY c.table_name, c.ordinal_position
"""


_POSTGRESQL_CLOSED = """
SELECT c.relname::text, has_table_privilege(c.oid, 'SELECT')
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
AND (NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid))
"""


def closed_tables(connection: Connection) -> tuple[dict[str, str], frozenset[str]]:
    """Tables that this user cannot read, or not all of.

    SQLite has no rights, and MySQL shows no table to those who may do nothing with it.

    Returns:
        Why not, by table; and those of which some rows are hidden.
    """
    if connection.dialect.name != "postgresql":
        return {}, frozenset()
    found = {str(name): bool(may) for name, may in connection.rows(_POSTGRESQL_CLOSED)}
    words = {True: "row-level security hides rows of it", False: "this user may not read it"}
    hidden = frozenset(name for name, may in found.items() if may)
    return {name: words[may] for name, may in found.items()}, hidden


def as_catalogue(
    actual: dict[str, tuple[ActualColumn, ...]],
    newer: frozenset[str] = frozenset(),
    keys: Iterable[ForeignKey] = (),
) -> tuple[Table, ...]:
    """The tables that are here, in the catalogue's words and order; unknown ones last.

    A table or column that the catalogue does not know is kept, typed by what the database
    declares; a table or column that is not here (an older schema) is absent.

    Args:
        actual: What is here.
        newer: Tables that are MLflow's own, though the catalogue does not know them.
        keys: Foreign keys, from which it is told what the rows of those refer to.
    """
    known = tuple(_known(t.name, actual[t.name]) for t in TABLES if t.name in actual)
    others = set(actual) - set(BY_NAME) - BOOKKEEPING_TABLES
    # Read in their own way; another program's table may be called so, too.
    others -= AUTH_TABLES if has_users(actual) else set()
    found = known + tuple(
        _unknown(name, actual[name], Kind.NEWER if name in newer else Kind.UNKNOWN)
        for name in sorted(others)
    )
    return in_order(_with_references(found, keys)) if newer or keys else found


def _with_references(tables: tuple[Table, ...], keys: Iterable[ForeignKey]) -> Iterator[Table]:
    """Tables with what their new columns refer to."""
    by_name = {table.name: table for table in tables}
    for table in tables:
        entry = BY_NAME.get(table.name)
        known = set(entry.by_name) if entry is not None else set[str]()
        more = tuple(
            Reference(key.columns, key.other, key.targets or by_name[key.other].key)
            for key in keys
            if key.table == table.name
            and key.other in by_name
            and (table.kind is Kind.NEWER or (entry is not None and not known >= set(key.columns)))
        )
        yield replace(table, references=table.references + more) if more else table


@lru_cache(1024)  # Every place that is opened has the same few hundred.
def _known(name: str, columns: tuple[ActualColumn, ...]) -> Table:
    table = BY_NAME[name]
    here = table.only(frozenset(c.name for c in columns))
    extra = tuple(_column(c) for c in columns if c.name not in table.by_name)
    declared = {c.name: c for c in columns}
    kept = tuple(_widened(c, declared[c.name]) for c in here.columns)
    if not extra and kept == here.columns:
        return here
    return replace(here, columns=kept + extra)


def _widened(known: Column, declared: ActualColumn) -> Column:
    """A column of the catalogue, which may take longer texts or larger numbers here."""
    found = _column(declared)
    if known.declared is not None and declared.type.startswith("bigint"):
        return replace(known, declared=None)
    is_text = known.cap is not None and _TEXT.fullmatch(declared.type)
    if is_text and (found.cap is None or found.cap > (known.cap or 0)):
        return replace(known, cap=found.cap)
    return known


def _unknown(name: str, columns: tuple[ActualColumn, ...], kind: Kind) -> Table:
    key = tuple(c.name for c in sorted(columns, key=lambda c: c.key) if c.key)
    return Table(
        name=name,
        kind=kind,
        key=key,
        columns=tuple(
            replace(_column(c), secret=c.name not in key and looks_secret(_column(c)))
            for c in columns
        ),
        bulky=True,
    )


def declared_columns(
    actual: dict[str, tuple[ActualColumn, ...]],
) -> dict[str, tuple[Column, ...]]:
    """All columns by table, typed by nothing but what the database declares."""
    return {name: tuple(map(_column, columns)) for name, columns in actual.items()}


# Whole declarations, so that neither "point" nor "integer[]" is taken for a number.
_SIZE = r"(\s*\([\d\s,]*\))?"
_KINDS = (
    (re.compile(rf"(unsigned )?(big |tiny|small|medium|big)?int(eger|2|4|8)?{_SIZE}"), pa.int64()),
    (re.compile(rf"(float|double|real)( precision|4|8)?{_SIZE}"), pa.float64()),
    (re.compile(r"bool(ean)?"), pa.bool_()),
    (re.compile(rf"(tiny|medium|long)?blob|bytea|(var)?binary{_SIZE}"), pa.binary()),
)
_LENGTH = re.compile(r"(?:var)?char(?:acter)?(?: varying)?\s*\(\s*(\d+)\s*\)")
_TEXT = re.compile(rf"(varchar|(tiny|medium|long)?text|char(acter)?)( varying)?{_SIZE}")


def _column(column: ActualColumn) -> Column:
    kind = next((kind for words, kind in _KINDS if words.fullmatch(column.type)), pa.string())
    text = kind == pa.string() and not _TEXT.fullmatch(column.type)
    # Read as text, whatever it is: that is what `json` columns are cast to.
    narrow = {"integer": pa.int32(), "smallint": pa.int16()}.get(column.type)
    size = _LENGTH.fullmatch(column.type)
    cap = int(size[1]) if size and not text else None
    return Column(
        column.name, kind, generated=column.generated, json=text, declared=narrow, cap=cap
    )
