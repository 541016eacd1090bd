"""Tables and columns as they were found: what the catalogue of this release does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.revisions import is_newer, release_of
from mlporter.catalogue.types import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlporter.catalogue.types import Table

__all__ = ["found_note", "in_order", "new_columns"]


def in_order(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Tables, each after those that it refers to, and otherwise in the order that they have."""
    here = {table.name: table for table in tables}
    order: dict[str, Table] = {}
    begun: set[str] = set()

    def put(table: Table) -> None:
        if table.name in begun:
            return  # or two refer to each other
        begun.add(table.name)
        for reference in table.references:
            if reference.enforced and reference.table in here:
                put(here[reference.table])
        order[table.name] = table

    for table in here.values():
        put(table)
    return tuple(order.values())


def new_columns(table: Table, known: Mapping[str, Table]) -> tuple[str, ...]:
    """Columns of a table that `known` has, and that the catalogue does not know."""
    entry = known.get(table.name)
    if entry is None or table.kind in {Kind.UNKNOWN, Kind.NEWER, Kind.USERS}:
        return ()
    return tuple(c.name for c in table.columns if c.name not in entry.by_name)


def found_note(revision: str, tables: Sequence[Table], known: Mapping[str, Table]) -> str | None:
    """A sentence on what was taken as it was found, of a schema that the catalogue does not know.

    Args:
        revision: The schema's.
        tables: Its tables.
        known: The catalogue's.
    """
    if not is_newer(revision):
        return None
    new = [
        *(f"table {table.name}" for table in tables if table.kind is Kind.NEWER),
        *(f"column {table.name}.{name}" for table in tables for name in new_columns(table, known)),
    ]
    release = release_of(revision)
    named = f"{revision} (MLflow {release})" if release else revision
    what = f"Taken as it was found: {', '.join(new)}." if new else "It has no new table or column."
    return f"The schema is at revision {named}, unknown to this release. {what}"
