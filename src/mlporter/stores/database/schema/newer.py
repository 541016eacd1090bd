"""A schema that is newer than the catalogue: what of it is MLflow's, and whether it can be read.

Pure decisions. Known tables are read as the catalogue says, new columns and tables as the database
itself declares them. What the catalogue needs and is not there, or is something else, was renamed,
removed or given another meaning: then nothing can be read.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.catalogue import AUTH_TABLES, BOOKKEEPING_TABLES, BY_NAME, TABLES
from mlporter.catalogue.types import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.schema.foreign_keys import ForeignKey

__all__ = ["is_foreign_program", "lacking", "mlflows_own"]

_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "Airflow": ("dag", "dag_run"),
    "Optuna": ("studies", "trials"),
    "Superset": ("dashboards", "slices"),
    "Prefect": ("flow", "flow_run"),
    "Dagster": ("event_logs", "run_tags"),
}
"""Programs that keep their revision in a table of the same name, by tables that they have."""


def is_foreign_program(tables: Collection[str]) -> str | None:
    """Which other program, known by its tables, may have written a revision."""
    for program, its in _PROGRAMS.items():
        if set(its) <= set(tables):
            return f"{program}, whose tables are there too ({', '.join(its)})"
    return None


def mlflows_own(
    tables: Collection[str], keys: Iterable[ForeignKey], named: frozenset[str]
) -> frozenset[str]:
    """Which tables that the catalogue does not know are MLflow's all the same.

    Args:
        tables: All that there are.
        keys: Their foreign keys.
        named: The tables of the MLflow that is installed, if the database is of its revisions: it
            says which are its own. Else () -- and what is tied to MLflow's tables by foreign keys,
            either way, perhaps by way of others, is taken for MLflow's.
    """
    unknown = set(tables) - set(BY_NAME) - BOOKKEEPING_TABLES - AUTH_TABLES
    if named:
        return frozenset(unknown & named)
    ties = [{key.table, key.other} for key in keys]
    found: set[str] = set()
    size = -1
    while size != len(found):
        size = len(found)
        found |= {n for tie in ties if tie & (BY_NAME.keys() | found) for n in tie & unknown}
    return frozenset(found)


def lacking(tables: Iterable[Table], columns: Mapping[str, Collection[Column]]) -> Iterator[str]:
    """A sentence for each table or column that the catalogue needs and that is not as it says.

    Args:
        tables: The catalogue's tables as they are here, with the columns that are here.
        columns: By table, all columns that are here, typed by what the database declares.
    """
    here = {table.name: table for table in tables}
    for table in TABLES:
        if table.kind not in {Kind.KEPT, Kind.SECRET}:
            continue  # it is not copied
        if table.name not in here:
            strange = set(columns) - set(BY_NAME)
            yield f"there is no table {table.name}{_instead(table.name, strange)}"
            continue
        found = {column.name: column for column in columns[table.name]}
        new = set(found) - set(table.by_name)
        for column in table.columns:
            actual = found.get(column.name)
            if actual is None:
                yield f"there is no column {table.name}.{column.name}{_instead(column.name, new)}"
            elif not _means_the_same(column, actual):
                yield (
                    f"column {table.name}.{column.name} is {_in_words(actual.type)}, and was "
                    f"{_in_words(column.type)}"
                )


def _instead(name: str, new: Collection[str]) -> str:
    near = get_close_matches(name, new, 1)
    return f" (there is {near[0]}, which is new)" if near else ""


def _means_the_same(column: Column, actual: Column) -> bool:
    """Whether a value can be read as what it was: a number wider, a text longer; never both."""
    return column.json or actual.json or _family(column.type) == _family(actual.type)


def _family(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "text"
    return "bytes" if pa.types.is_binary(kind) else "number"


def _in_words(kind: pa.DataType) -> str:
    return {"text": "a text", "bytes": "bytes", "number": "a number"}[_family(kind)]
