"""Rows asked for in SQL: `Among` as statements that read its rows in order, and single keys."""

from __future__ import annotations

from math import copysign, isfinite, isnan
from typing import TYPE_CHECKING

from mlporter.stores.database.connection.connection import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.catalogue.types import Table
    from mlporter.stores.protocols import Among

__all__ = ["literal", "literal_of", "where_clauses", "where_in", "where_key"]

_CHUNK = 500
"""Values of a statement where several are read one after the other."""
_MOST_VALUES = 5_000
_MOST_CHARACTERS = 200_000
"""The most of one statement, far below what SQLite (1 MB) and MySQL (4 MB and more) take."""


def where_clauses(table: Table, among: Among) -> list[str]:
    """One ``WHERE`` a statement; read one after the other their rows are sorted by the key.

    They may let more rows through than were asked for (MySQL compares text without case), or all:
    ``[""]`` where the values are too many, or not surely the same text on every engine.
    """
    values = among.values
    if not values:
        return []
    if not all(_is_plain(value) for value in values):
        return [""]
    if table.key and table.key[0] == among.column:
        chunks = [values[at : at + _CHUNK] for at in range(0, len(values), _CHUNK)]
        return [where_in(among.column, chunk) for chunk in chunks]
    if len(values) > _MOST_VALUES:
        return [""]
    where = where_in(among.column, values)
    return [where if len(where) <= _MOST_CHARACTERS else ""]


def where_in(column: str, values: Sequence[str | int]) -> str:
    """The ``WHERE`` of rows whose column has one of some values."""
    if len(values) == 1:
        return f"WHERE {quoted(column)} = {literal(values[0])}"
    return f"WHERE {quoted(column)} IN ({', '.join(map(literal, values))})"


def _is_plain(value: str | int) -> bool:
    """Whether a literal means the same everywhere: backslashes and other alphabets may not."""
    return isinstance(value, int) or (value.isascii() and "\\" not in value and "\0" not in value)


def literal(value: str | int) -> str:
    """A value as SQL text; our sessions take backslashes as they are on every engine."""
    if isinstance(value, int):
        return str(int(value))
    return "'" + value.replace("'", "''") + "'"


def where_key(columns: tuple[str, ...], key: tuple[object, ...], engine: str) -> str:
    """The condition that columns hold the values of a key."""
    pairs = zip(columns, key, strict=True)
    return " AND ".join(f"{quoted(name)} = {literal_of(value, engine)}" for name, value in pairs)


def literal_of(value: object, engine: str) -> str:
    """A value of any column as the SQL of an engine."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'" if engine == "postgresql" else f"x'{value.hex()}'"
    if isinstance(value, float):
        return _float(value, engine)
    if isinstance(value, str) and "\0" in value and engine == "sqlite":
        return f"CAST(x'{value.encode().hex()}' AS TEXT)"  # a statement ends where that begins
    return literal(value if isinstance(value, int) else str(value))


def _float(value: float, engine: str) -> str:
    if isfinite(value):
        text = repr(value)
        return text if "e" in text else f"{text}e0"  # without it, MySQL makes it a decimal
    if engine == "sqlite":
        return "NULL" if isnan(value) else f"{copysign(1, value):.0f}e999"
    return f"'{value}'"
