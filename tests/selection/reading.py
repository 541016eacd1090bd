"""Selections held against the whole, row by row, with code of the tests' own."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlporter.catalogue.types import Kind
from mlporter.selection import Selection, select
from mlporter.stores.opening import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Source

#: References that bring nothing, as docs/selection.md says.
SOFT = {
    ("evaluation_dataset_records", "source_id"),
    ("assessments", "overrides"),
}

#: Ids inside texts that bring what they name: table, where, value there, column, target.
INSIDE = (
    ("tags", "key", "mlflow.parentRunId", "value", ("runs", "run_uuid")),
    ("trace_request_metadata", "key", "mlflow.sourceRun", "value", ("runs", "run_uuid")),
    ("trace_request_metadata", "key", "mlflow.modelId", "value", ("logged_models", "model_id")),
)


@contextmanager
def chosen(address: str, **words: Any) -> Iterator[Source]:
    """A selection of a place; ``chosen(url, models=("a",))``."""
    source = open_source(address)
    try:
        yield select(source, Selection(**words))
    finally:
        source.close()


def rows_in(source: Source, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    return [row for batch in source.read(table) for row in batch.to_pylist()]


def everything_in(source: Source) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables that can be read."""
    readable = (table for table in source.tables if table.kind is not Kind.SECRET)
    return {table.name: rows_in(source, table.name) for table in readable}


def ids(source: Source, table: str, column: str) -> set[Any]:
    """The distinct values of a column."""
    return {row[column] for row in rows_in(source, table)}


def problems(whole: Source, part: Source) -> list[str]:
    """Why a part is not sound: rows of its own, out of order, or without what they refer to."""
    every, some = everything_in(whole), everything_in(part)
    tables = {table.name: table for table in part.tables}
    found = [
        f"{name} has a row of its own: {row}"
        for name, of in some.items()
        for row in of
        if row not in every[name]
    ]
    for name, of in some.items():
        positions = [every[name].index(row) for row in of]
        if positions != sorted(set(positions)):
            found.append(f"{name} is not in order")
        if part.count(name) != len(of):
            found.append(f"{name} is counted {part.count(name)}, and has {len(of)}")
        for reference in tables[name].references:
            if (name, reference.columns[0]) in SOFT or reference.table not in some:
                continue
            for row in of:
                if reference.where and row[reference.where[0]] != reference.where[1]:
                    continue
                key = tuple(row[column] for column in reference.columns)
                if _is_lost(key, every[reference.table], some[reference.table], reference.targets):
                    found.append(f"{name} {key} → {reference.table}")
    for name, column, value, text, (target, key) in INSIDE:
        found += [
            f"{name} {row[text]} → {target}"
            for row in some[name]
            if row[column] == value and _is_lost((row[text],), every[target], some[target], (key,))
        ]
    return found


def _is_lost(key, whole, part, columns):
    def there(rows):
        return any(tuple(row[column] for column in columns) == key for row in rows)

    return there(whole) and not there(part)


def comparable(source: Source) -> str:
    """All that is in a source, as one text; without what a bundle does not hold."""
    kept = {table.name for table in source.tables if table.kind is Kind.KEPT}
    rows = {name: of for name, of in everything_in(source).items() if name in kept}
    return json.dumps(rows, default=str, sort_keys=True)
