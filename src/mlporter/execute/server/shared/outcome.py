"""What came of a transfer into a server, as its result says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.rest_limits import UNSETTABLE

if TYPE_CHECKING:
    from mlporter.execute.result import TableResult
    from mlporter.execute.server.shared.context import ServerContext
    from mlporter.stores.protocols import Source

__all__ = ["notes_of", "tables_of"]


def tables_of(source: Source, context: ServerContext) -> tuple[TableResult, ...]:
    """Rows by table, in the catalogue's order."""
    found = context.tallies
    return tuple(found[t.name].of(t.name) for t in source.tables if t.name in found)


def notes_of(context: ServerContext) -> tuple[str, ...]:
    """What people should know of servers as targets."""
    written = {name for name, tally in context.tallies.items() if tally.written}
    told = ", ".join(
        f"{table}.{column}"
        for table, columns in UNSETTABLE.items()
        if table in written
        for column in sorted(columns)
    )
    found = []
    if told:
        found.append(
            f"A server gives runs and logged models new ids, and sets these fields itself: {told}."
        )
    if context.is_databricks and "runs" in written:
        found.append("Databricks names whoever makes a run as its user: you, and not who ran it.")
    return tuple(found)
