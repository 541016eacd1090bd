"""What is copied and what is left out, decided before anything is written: pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import known_table
from mlporter.catalogue.types import Column, Kind, Table
from mlporter.errors import LeftOut
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Plan", "plan_transfer", "strange_tables"]


@dataclass(frozen=True)
class Plan:
    """What a transfer will do.

    Attributes:
        tables: Tables to copy, parents first, with the columns to copy.
        left_out: Tables and columns that will not be copied, and why.
        skipped: Rows of each table that is left out.
    """

    tables: tuple[Table, ...]
    left_out: tuple[LeftOut, ...]
    skipped: Mapping[str, int]


def plan_transfer(
    source: Iterable[Table],
    counts: Mapping[str, int],
    target: Iterable[Table] | None = None,
    *,
    include_secrets: bool = False,
) -> Plan:
    """Decide table by table.

    Args:
        source: The tables of the source.
        counts: Rows in each of them.
        target: The tables of the target, or None where it takes any table (a bundle).
        include_secrets: Copy secret tables too.
    """
    there = None if target is None else {table.name: table for table in target}
    carried: list[Table] = []
    left: list[LeftOut] = []
    skipped: dict[str, int] = {}
    for table in source:
        rows = counts.get(table.name, 0)
        reason = _reason(table, there, include_secrets=include_secrets)
        if reason is None:
            fitting, missing = _fit(table, there)
            carried.append(fitting)
            left += missing if rows else []
        elif rows:
            skipped[table.name] = rows
            left.append(_left(table, rows, reason))
    return Plan(tuple(carried), tuple(left), skipped)


def strange_tables(source: Iterable[Table], target: Iterable[Table]) -> tuple[str, ...]:
    """How the source's tables differ from what MLflow's schema has in both, a line for each.

    A bundle says itself what its columns are, and SQLite takes any value into any column: a
    version that is a text would come out of it as one.
    """
    here = {table.name: table for table in source}
    lines: list[str] = []
    for table in target:
        known = known_table(table.name, table.kind.value)
        if known is not None and table.name in here and here[table.name].kind is table.kind:
            lines += _strange_columns(here[table.name], table, known)
        elif table.name in _NEEDED and table.name not in here:
            lines.append(f"there is no table {table.name}")
    return tuple(lines)


_NEEDED = {"experiments", "runs"}


def _strange_columns(table: Table, target: Table, known: Table) -> Iterator[str]:
    for column in target.columns:
        if column.generated or column.name not in known.by_name:
            continue
        found = table.by_name.get(column.name)
        if found is None:
            yield f"table {table.name} has no column {column.name}"
        elif not _is_like(found, column):
            yield f"{table.name}.{column.name} is {found.type}, and should be {column.type}"


def _is_like(found: Column, column: Column) -> bool:
    if pa.types.is_integer(column.type):
        return bool(pa.types.is_integer(found.type))
    return bool(found.type == column.type)


def _reason(
    table: Table, there: Mapping[str, Table] | None, *, include_secrets: bool
) -> str | None:
    if table.kind in {Kind.DERIVED, Kind.TRANSIENT}:
        return str(table.kind.value)
    if table.kind is Kind.SECRET and not include_secrets:
        return "secret"
    if there is not None and table.name not in there:
        return "no-users" if table.kind is Kind.USERS else "unknown"
    if there is not None and Kind.USERS in {table.kind, there[table.name].kind}:
        return None if table.kind is there[table.name].kind else "unmapped"
    return None


_SENTENCES = {
    "derived": "MLflow computes it from other tables; the target's is rebuilt",
    "transient": "locks, leases and jobs belong to one server at one moment",
    "secret": "secrets are left out",
    "unknown": "the target has no such table",
    "no-users": "the target has no users, or an older MLflow's: create them with "
    "`python -m mlflow.server.auth db upgrade --url DATABASE`, or name the database that has "
    "them with --target-auth",
    "unmapped": "it mixes MLflow's users with another program's, or has numbers without names",
}


def _left(table: Table, rows: int, reason: str) -> LeftOut:
    sentence = f"{plural(rows, 'row')}: {_SENTENCES[reason]}"
    reason = "unknown" if reason == "no-users" else reason
    return LeftOut("table", table.name, "", reason, sentence, reason in {"derived", "transient"})


def _fit(table: Table, there: Mapping[str, Table] | None) -> tuple[Table, list[LeftOut]]:
    if there is None:
        return table, []
    known = there[table.name].by_name
    if table.kind is not Kind.USERS:
        # Where it takes longer texts, or larger numbers, the target says so, and no bundle does.
        table = replace(
            table, columns=tuple(_as_there(c, known.get(c.name)) for c in table.columns)
        )
    missing = [c.name for c in table.columns if c.name not in known and not c.generated]
    if not missing:
        return table, []
    left = [
        LeftOut("column", table.name, name, "unknown", "the target has no such column")
        for name in missing
    ]
    return table.only(frozenset(known)), left


def _as_there(column: Column, there: Column | None) -> Column:
    if there is None or (there.cap, there.declared) == (column.cap, column.declared):
        return column
    return replace(column, cap=there.cap, declared=there.declared)
