"""Conditions on a table's own columns, such as ``status = 'FAILED'``: read, and applied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mlporter.errors import UsageError
from mlporter.selection.not_found import nearest
from mlporter.selection.rows.search import predicate
from mlporter.stores.rows.run_filter import Clause

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["meeting", "parse_conditions", "unknown_column"]

_CLAUSE = re.compile(
    r"""(?isx)\s* (?P<name>[a-z_]\w*) \s*
    (?: (?P<null>is\s+(?:not\s+)?null)\b
      | (?P<comparator><=|>=|!=|=|<|>|i?like\b) \s*
        (?P<value>'(?:[^']|'')*'|"[^"]*"|[-+]?[\d.]+(?:e[-+]?\d+)?|true\b|false\b) )
    \s* (?P<more>and\s+|\Z)"""
)
_HINT = "such as: status = 'FAILED' AND start_time > 1700000000000; joined by AND"


def parse_conditions(text: str, schema: pa.Schema) -> tuple[Clause, ...]:
    """The conditions that a text consists of, each checked against its column.

    Raises:
        UsageError: it is none, or names no column, or compares a column with what it cannot hold.
    """
    clauses, at = [], 0
    while True:
        found = _CLAUSE.match(text, at)
        if found is None:
            raise UsageError(f"cannot be read from {text[at:]!r} on", subject="where", hint=_HINT)
        clauses.append(_clause(found, schema))
        at = found.end()
        if not found["more"]:
            return tuple(clauses)


def _clause(found: re.Match[str], schema: pa.Schema) -> Clause:
    name = found["name"]
    if name not in schema.names:
        raise unknown_column(name, schema.names)
    if found["null"]:
        return Clause("", name, " ".join(found["null"].upper().split()), None)
    comparator, value = found["comparator"].upper(), _value(found["value"])
    if not _fits(schema.field(name).type, comparator, value):
        kind = schema.field(name).type
        message = f"column {name} holds {kind}: it cannot be compared by {comparator} {value!r}"
        raise UsageError(message, subject="where", hint="text in quotes, numbers without")
    return Clause("", name, comparator, value)


def _value(text: str) -> str | float:
    if text[0] in "'\"":
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return int(text)  # exact, beyond what a float can hold
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no number", subject="where", hint=_HINT) from None


def _fits(kind: pa.DataType, comparator: str, value: str | float) -> bool:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return isinstance(value, str)
    if pa.types.is_boolean(kind):
        return isinstance(value, bool) and comparator in {"=", "!="}
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    is_compared = not comparator.endswith("LIKE") and not isinstance(value, (bool, str))
    return is_number and is_compared


def meeting(batch: pa.RecordBatch, clauses: tuple[Clause, ...]) -> pa.RecordBatch:
    """The rows of a batch that meet all conditions; NULL meets none but ``IS NULL``."""
    for clause in clauses:
        column = batch.column(batch.schema.get_field_index(clause.key))
        batch = batch.filter(_mask(column, clause))
    return batch


def _mask(column: pa.Array, clause: Clause) -> pa.Array:
    if clause.comparator.endswith("NULL"):
        return pc.is_null(column) if clause.comparator == "IS NULL" else pc.is_valid(column)
    fits: Callable[[object], bool] = predicate(clause)
    values = column.dictionary_encode()
    found = pa.array([fits(value) for value in values.dictionary.to_pylist()], pa.bool_())
    return found.take(values.indices).fill_null(fill_value=False)


def unknown_column(name: str, names: list[str]) -> UsageError:
    """What is said of a column that is not there."""
    near = nearest(name, names)
    there = names if len(names) <= _SHOWN else [*names[:_SHOWN], "…"]
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return UsageError(f"there is no column {name}", hint=f"{hint}it has: {', '.join(there)}")


_SHOWN = 60
