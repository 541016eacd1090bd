"""What is lost between two schemas, or may be: named before anything is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue.types import Kind
from mlporter.compare.rows.shape import fallback_of, says_something
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rows.other_places import OTHER, parts_of_owner
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlporter.catalogue.types import Table
    from mlporter.errors import LeftOut
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.table_plan import Plan
    from mlporter.stores.protocols import ArtifactFile, Keep, Report, Source

__all__ = ["WithoutUnheld", "left_unheld", "texts_note"]


class WithoutUnheld(Wrapped):
    """A source without the files of rows and values that the target cannot hold."""

    def __init__(self, inner: Source, unheld: Sequence[LeftOut]) -> None:
        super().__init__(inner)
        self._tables = frozenset(item.id for item in unheld if item.kind == "table")
        self._columns = frozenset((item.id, item.path) for item in unheld if item.kind == "column")

    def files(self, report: Report, keep: Keep | None = None) -> Iterator[ArtifactFile]:
        """The files of what comes."""

        def comes(kind: str, owner: str) -> bool:
            return self._is_held(kind, owner) and (keep is None or keep(kind, owner))

        return self.inner.files(report, comes)

    def _is_held(self, kind: str, owner: str) -> bool:
        if kind != OTHER:
            return True
        table, column, _ = parts_of_owner(owner)
        return table not in self._tables and (table, column) not in self._columns


def left_unheld(plan: Plan, source: Reader, target: Sequence[Table]) -> tuple[Plan, list[LeftOut]]:
    """A plan that leaves out what the target cannot hold, and an entry for each such thing.

    That are MLflow's own tables and columns. A column that says nothing in any row, but for what
    the lack of it says, is no loss.

    Args:
        plan: What `plan_transfer` made of it: all that the target lacks is left out there.
        source: What is copied.
        target: The target's tables.
    """
    mine = {table.name: table for table in source.tables}
    theirs = {table.name: table for table in target}
    entries: list[LeftOut] = []
    unheld: list[LeftOut] = []
    for item in plan.left_out:
        table = mine[item.id]
        if item.reason != "unknown" or table.kind in {Kind.UNKNOWN, Kind.USERS}:
            entries.append(item)
            continue
        if item.kind == "column":
            rows = _rows_with(source, table, item.path, theirs[table.name].key)
            if not rows:
                continue
            said = f"{plural(rows, 'value')}: the target has no such column"
            item = replace(item, detail=said)  # noqa: PLW2901 -- the same, counted
        entries.append(item)
        unheld.append(item)
    return replace(plan, left_out=tuple(entries)), unheld


def _rows_with(source: Reader, table: Table, column: str, key: tuple[str, ...]) -> int:
    """In how many rows a column says something."""
    entry = table.by_name[column]
    names = (column, entry.fallback) if entry.fallback in table.by_name else (column,)
    return sum(
        says_something(batch.column(0), entry, key, fallback_of(entry, batch))
        for batch in source.read(table.name, names)
    )


def texts_note(tables: Sequence[Table], counts: Mapping[str, int], ids: IdMap) -> str | None:
    """A sentence on texts that may hold ids which are others in the target, and stay as they are.

    Which texts of a table hold ids, only the catalogue knows.
    """
    named = [
        f"{table.name}.{column.name}"
        for table in tables
        if table.kind is Kind.NEWER and counts.get(table.name)
        for column in table.columns
        if pa.types.is_string(column.type) and column.name not in _referring(table)
    ]
    if ids.is_identity or not named:
        return None
    return (
        "Ids or names are different in the target. Texts in new tables that contain some stay as "
        f"they are, as nobody knows which do: {', '.join(named)}."
    )


def _referring(table: Table) -> set[str]:
    return {column for reference in table.references for column in reference.columns}
