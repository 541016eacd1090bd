"""What a table of an older schema is read from, so that it reads as one of the newest.

That is the table itself where no row has changed since, and otherwise a subquery that the database
answers as it would the table: by key, in part, counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.catalogue import RETIRED_COLUMNS, TABLES
from mlporter.catalogue.tables.system import DEFAULT_WORKSPACE
from mlporter.catalogue.types import Column, Table
from mlporter.errors import RefusedError
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.database.history.changes import CHANGES
from mlporter.stores.database.history.shape import POSITIONS, tables_at
from mlporter.stores.database.history.traces import ANALYTICS, COSTS, MOVED, TOKENS, MovedValues

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.stores.addresses.address import Address
    from mlporter.stores.database.schema.reflection import ActualColumn

__all__ = ["Relation", "as_newer"]

_USERS_BECAME_TAGS = "90e64c465722"

_FILLED: Mapping[str, str] = MappingProxyType(
    {
        "workspaces": (
            "SELECT '{name}' AS \"name\", '{description}' AS \"description\","
            ' NULL AS "default_artifact_root", NULL AS "trace_archival_location",'
            ' NULL AS "trace_archival_retention"'.format(**DEFAULT_WORKSPACE)
        ),
        "latest_metrics": (
            'SELECT "run_uuid", "key", "value", "timestamp", "step", {is_nan} AS "is_nan" FROM'
            " (SELECT m.*, row_number() OVER"
            ' (PARTITION BY m."run_uuid", m."key"'
            ' ORDER BY m."step" DESC, m."timestamp" DESC, m."value" DESC) AS "place"'
            ' FROM "metrics" m) AS "ranked" WHERE "place" = 1'
        ),
    }
)
"""What revisions put into tables that they made."""


def _without(*keys: str) -> str:
    return f'WHERE "key" NOT IN ({", ".join(repr(key) for key in keys)})'


_TAKEN: Mapping[str, str] = MappingProxyType(
    {
        "trace_tags": _without("mlflow.traceName"),
        "trace_request_metadata": _without(
            "mlflow.trace.session", "mlflow.trace.tokenUsage", "mlflow.trace.cost"
        ),
        "trace_metrics": _without(*TOKENS),
        "span_metrics": _without(*COSTS),
    }
)
"""Rows that are columns since `ANALYTICS`."""

# The user of a run was a column only, before it was a tag too.
_USERS = (
    'UNION ALL SELECT "run_uuid", \'mlflow.user\', "user_id" FROM "runs" WHERE "user_id" <> \'\''
    ' AND NOT EXISTS (SELECT 1 FROM "tags" t WHERE t."run_uuid" = "runs"."run_uuid"'
    " AND t.\"key\" = 'mlflow.user')"
)


@dataclass(frozen=True)
class Relation:
    """What a table is read from.

    Attributes:
        sql: Stands for the table in a statement; "" if there is nothing to read.
        rows: Stands for it where rows are counted.
        moved: How some of its columns are computed from others, or None.
        raw: Columns of `sql` that those are computed from.
    """

    sql: str = ""
    rows: str = ""
    moved: MovedValues | None = None
    raw: tuple[Column, ...] = ()

    def is_computed(self, column: str) -> bool:
        """Whether the database cannot be asked for a column."""
        return self.moved is not None and column in self.moved.columns

    def asked(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The columns to ask the database for, of which `complete` makes `columns`."""
        plain = tuple(column for column in columns if not self.is_computed(column.name))
        return plain if len(plain) == len(columns) else (*plain, *self.raw)

    def complete(self, batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
        """Rows with `columns`, from rows with those that were asked for."""
        schema = pa.schema([pa.field(c.name, c.type, c.nullable) for c in columns])
        if self.moved is None or not any(self.is_computed(name) for name in schema.names):
            return batch
        rows = self.moved.values(batch.select([c.name for c in self.raw]).to_pylist())
        arrays = [
            pa.array([row[field.name] for row in rows], field.type)
            if self.is_computed(field.name)
            else batch.column(batch.schema.get_field_index(field.name))
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def as_newer(
    actual: Mapping[str, tuple[ActualColumn, ...]],
    tables: tuple[Table, ...],
    revisions: tuple[str, str],
    address: Address,
) -> tuple[tuple[Table, ...], dict[str, Relation]]:
    """The tables of an older schema as a newer one has them, and what those are read from.

    Args:
        actual: What is there.
        tables: The same in the catalogue's words; ones that it does not know are kept as they are.
        revisions: What it is at, and what it is read as.
        address: Where it is, for errors.

    Returns:
        The tables, and relations by table; those without one are read straight.

    Raises:
        RefusedError: a table or a column that belongs to its revision is not there.
    """
    revision, newer = revisions
    schema = _Schema(actual, revision, tables_at(newer), POSITIONS[newer])
    reasons = tuple(schema.lacking())
    if reasons:
        raise RefusedError(
            f"its schema lacks what revision {revision} has",
            subject=str(address),
            hint="MLflow created them as tables; a view or a renamed table is not read",
            reasons=reasons,
        )
    here = {table.name: table for table in tables}
    known = {table.name for table in TABLES}
    shaped = [_shaped(table, here.get(table.name)) for table in schema.newer]
    relations = {table.name: schema.relation(table) for table in shaped}
    others = [table for table in tables if table.name not in known]
    return (*shaped, *others), {n: found for n, found in relations.items() if found is not None}


def _shaped(table: Table, here: Table | None) -> Table:
    """The catalogue's table, with columns that it does not know."""
    if here is None:
        return table
    extra = tuple(
        column
        for column in here.columns
        if column.name not in table.by_name and (table.name, column.name) not in RETIRED_COLUMNS
    )
    return replace(table, columns=table.columns + extra)


class _Schema:
    """An older schema: what is there, and what later revisions brought."""

    def __init__(
        self,
        actual: Mapping[str, tuple[ActualColumn, ...]],
        revision: str,
        newer: tuple[Table, ...],
        end: int,
    ) -> None:
        self._columns = {name: {c.name for c in columns} for name, columns in actual.items()}
        self._position, self._end = POSITIONS[revision], end
        self.newer = newer
        self._later = [change for change in CHANGES if self._is_later(change.revision)]

    def _is_later(self, revision: str) -> bool:
        return self._position < POSITIONS[revision] <= self._end

    def lacking(self) -> Iterator[str]:
        """What should be there and is not."""
        later = {name for change in self._later for name in change.tables}
        for table in self.newer:
            if table.name in self._columns:
                new = self._new(table.name)
                for column in table.columns:
                    if column.name not in self._columns[table.name] and column.name not in new:
                        yield f"there is no column {table.name}.{column.name}"
            elif table.name not in later:
                yield f"there is no table {table.name}"

    def _new(self, table: str) -> dict[str, str]:
        """Columns that later revisions brought, with the SQL of their values."""
        new: dict[str, str] = {}
        for change in self._later:
            new.update(change.columns.get(table, {}))
        return new

    def relation(self, table: Table) -> Relation | None:
        """What a table is read from; None where it is the table itself."""
        if table.name not in self._columns:
            return self._filled(table.name)
        moved = MOVED.get(table.name) if self._is_later(ANALYTICS) else None
        if moved is not None:
            return self._computed(table, moved)
        taken = _TAKEN.get(table.name, "") if self._is_later(ANALYTICS) else ""
        if table.name == "tags" and self._is_later(_USERS_BECAME_TAGS):
            taken = _USERS
        values = self._values(table)
        if not taken and all(sql == quoted(name) for name, sql in values.items()):
            return None
        sql = _subquery(table.name, values, taken)
        return Relation(sql, sql)

    def _filled(self, name: str) -> Relation:
        if name not in _FILLED:
            return Relation()
        has_nan = "is_nan" in self._columns.get("metrics", ())
        sql = _FILLED[name].format(is_nan='"is_nan"' if has_nan else "0")
        sql = f"({sql}) AS {quoted(name)}"
        return Relation(sql, sql)

    def _computed(self, table: Table, moved: MovedValues) -> Relation:
        values = {
            name: sql for name, sql in self._values(table).items() if name not in moved.columns
        }
        for raw in moved.raw:
            values[raw.name] = raw.sql if self._has(raw.needs) else "NULL"
        columns = tuple(Column(raw.name, raw.type, json=pa.types.is_string(raw.type))
                        for raw in moved.raw)  # fmt: skip
        return Relation(_subquery(table.name, values), f"{quoted(table.name)}", moved, columns)

    def _has(self, needed: str) -> bool:
        table, _, column = needed.partition(".")
        return not needed or (
            table in self._columns and (not column or column in self._columns[table])
        )

    def _values(self, table: Table) -> dict[str, str]:
        """SQL for each column: the column itself, or what it got when it came."""
        new, here = self._new(table.name), self._columns[table.name]
        return {
            column.name: quoted(column.name) if column.name in here else new[column.name]
            for column in table.columns
        }


def _subquery(table: str, values: Mapping[str, Any], rest: str = "") -> str:
    name = quoted(table)
    chosen = ", ".join(f"{sql} AS {quoted(column)}" for column, sql in values.items())
    return f"(SELECT {chosen} FROM {name} {rest}) AS {name}"
