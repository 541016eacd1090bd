"""Which tables some step copies, and what is said of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.types import Kind
from mlporter.stores.protocols import Among
from mlporter.stores.server.table_families import BY_EXPERIMENT, WHOLE
from mlporter.wording import plural

if TYPE_CHECKING:
    from mlporter.execute.server.shared.context import ServerContext

__all__ = ["CARRIED", "note_left_out_tables"]

CARRIED = frozenset({"metrics", "spans", "entity_associations"}).union(
    *BY_EXPERIMENT.values(), *WHOLE.values()
)
"""Tables whose rows a step copies: what a server shows."""

_NUMBERS = {
    "trace_metrics": ("trace_info", ("request_id",)),
    "span_metrics": ("spans", ("trace_id", "span_id")),
}
"""Where MLflow 3.17 has the numbers of traces and of spans: in columns of the names of their keys;
and what a trace or span is known by."""


def note_left_out_tables(context: ServerContext) -> None:
    """Note tables that no step copies; what MLflow computes or holds for a moment is no loss."""
    source = context.source
    for table in source.tables:
        rows = 0 if table.name in CARRIED else source.count(table.name)
        if not rows:
            continue
        if table.name in _NUMBERS:
            _numbers(context, table.name)
            continue
        expected = table.kind in {Kind.DERIVED, Kind.TRANSIENT}
        reason = table.kind.value if expected else "unsupported"
        detail = "the server has its own" if expected else "not copied into a server"
        if table.kind is Kind.SECRET:
            reason, detail = "secret", "they cannot be read; model definitions are made without"
        if not expected:
            context.skip(table.name, rows)
        context.leave(
            "table", table.name, "", reason, f"{plural(rows, 'row')}: {detail}", expected=expected
        )


def _numbers(context: ServerContext, table: str) -> None:
    """Note numbers that a server cannot hold; the others are columns of what they belong to."""
    holder, key = _NUMBERS[table]
    held = 0
    for batch in context.source.read(table):
        rows = batch.to_pylist()
        among = Among(key[0], tuple(sorted({row[key[0]] for row in rows})))
        columns = _columns(context, holder, key, {row["key"] for row in rows})
        owners = {
            tuple(owner[name] for name in key): owner
            for found in context.source.read(holder, columns, among)
            for owner in found.to_pylist()
        }
        for row in rows:
            id_ = tuple(row[name] for name in key)
            if owners.get(id_, {}).get(row["key"]) == row["value"]:
                held += 1
                continue
            detail = (
                f"MLflow keeps no number of this name in {holder}, or has a different one there"
            )
            context.leave(table, "/".join(id_), row["key"], "unsupported", detail)
            context.skip(table)
    if held:
        detail = f"{plural(held, 'row')}: the server has these in {holder}"
        context.leave("table", table, "", "derived", detail, expected=True)


def _columns(
    context: ServerContext, holder: str, key: tuple[str, ...], names: set[str]
) -> tuple[str, ...]:
    there = context.tables[holder].by_name
    return (*key, *sorted(name for name in names if name in there and name not in key))
