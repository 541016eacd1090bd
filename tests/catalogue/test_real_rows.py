"""The catalogue held against rows that MLflow wrote: its references, vocabulary and JSON."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from mlporter.catalogue import TABLES
from mlporter.catalogue.types import Form

pytest.importorskip("mlflow.utils.workspace_context", reason="the rich registry has workspaces")


@pytest.fixture
def rows(rich_sqlite):
    """A function that returns the rows of a query over the rich registry."""
    with closing(sqlite3.connect(rich_sqlite.database_path)) as connection:
        yield lambda sql, *values: connection.execute(sql, values).fetchall()


def quoted(names, prefix=""):
    return [f'{prefix}"{name}"' for name in names]


def condition(where, prefix=""):
    return f"{prefix}\"{where[0]}\" = '{where[1]}'" if where else "1"


def present(rows):
    """The catalogue's tables that this MLflow has."""
    names = {name for (name,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [entry for entry in TABLES if entry.name in names]


def columns_of(rows, name):
    return {row[1] for row in rows(f"PRAGMA table_xinfo({name})")}


def test_what_may_not_dangle_does_not(rows):
    for entry in present(rows):
        for reference in entry.references:
            known = columns_of(rows, entry.name) >= set(reference.columns)
            if known and not reference.may_dangle:
                assert _dangling(rows, entry, reference) == [], (entry.name, reference)


def _dangling(rows, entry, reference):
    ours, theirs = quoted(reference.columns, "a."), quoted(reference.targets, "b.")
    match = " AND ".join(f"{x} = {y}" for x, y in zip(ours, theirs, strict=True))
    filled = " AND ".join(f"{x} IS NOT NULL" for x in ours)
    return rows(
        f"SELECT {', '.join(ours)} FROM {entry.name} a WHERE {filled}"
        f" AND {condition(reference.where, 'a.')}"
        f" AND NOT EXISTS (SELECT 1 FROM {reference.table} b WHERE {match})"
    )


def test_a_type_of_thing_says_which_table_its_id_is_of(rows):
    """Where MLflow wrote rows of a type, at least some of their ids are found there."""
    for entry in present(rows):
        for reference in entry.references:
            if reference.where:
                used = rows(f"SELECT 1 FROM {entry.name} WHERE {condition(reference.where)}")
                dangling = _dangling(rows, entry, reference)
                assert not used or len(dangling) < len(used), (entry.name, reference)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("inputs", "source_type"),
        ("inputs", "destination_type"),
        ("entity_associations", "source_type"),
        ("entity_associations", "destination_type"),
        ("review_queue_items", "item_type"),
        ("endpoint_bindings", "resource_type"),
    ],
)
def test_every_type_of_thing_that_mlflow_writes_is_known(rows, table, column):
    entry = next(entry for entry in TABLES if entry.name == table)
    if entry not in present(rows):
        pytest.skip("this MLflow has no such table")
    spots = (*entry.references, *entry.hidden)
    known = {spot.where[1] for spot in spots if spot.where and spot.where[0] == column}
    # Written as `<name>/<version>`, which is the key of no table.
    known |= {"prompt_version"} if table == "entity_associations" else set()

    written = {value for (value,) in rows(f"SELECT DISTINCT {column} FROM {table}")}

    assert written <= known


def test_columns_marked_as_json_hold_json(rows):
    for entry in present(rows):
        marked = {column.name for column in entry.columns if column.json}
        for name in marked & columns_of(rows, entry.name):
            for (value,) in rows(f'SELECT "{name}" FROM {entry.name} WHERE "{name}" IS NOT NULL'):
                json.loads(value)


def test_places_hold_uris_of_the_artifact_root(rows, rich_sqlite):
    found = {}
    for entry in present(rows):
        for place in entry.places:
            values = rows(
                f'SELECT "{place.column}" FROM {entry.name}'
                f' WHERE "{place.column}" IS NOT NULL AND {condition(place.where)}'
            )
            inside = [value for (value,) in values if rich_sqlite.artifact_root in value]
            found[entry.name] = found.get(entry.name, 0) + len(inside)

    assert {name for name, n in found.items() if n} >= {
        "experiments",
        "runs",
        "logged_models",
        "trace_tags",
    }


def test_no_text_column_but_the_places_points_at_the_artifact_root(rows, rich_sqlite):
    """Else a copy of the registry would still point at the files of the original."""
    places = {(entry.name, place.column) for entry in TABLES for place in entry.places}
    pointing = set()
    for entry in present(rows):
        for name in columns_of(rows, entry.name) & {
            column.name for column in entry.columns if str(column.type) == "string"
        }:
            query = f'SELECT 1 FROM {entry.name} WHERE instr("{name}", ?) LIMIT 1'
            if rows(query, rich_sqlite.artifact_root):
                pointing.add((entry.name, name))

    assert pointing <= places


def test_ids_hidden_in_strings_are_found(rows):
    """Each way of hiding an id that the rich registry uses is one that the catalogue knows."""
    hits = {
        (entry.name, hidden.where[1])
        for entry in present(rows)
        for hidden in entry.hidden
        if hidden.form is not Form.JSON
        and hidden.where
        and rows(
            f"SELECT 1 FROM {entry.name} a, {hidden.table} b WHERE {condition(hidden.where, 'a.')}"
            f' AND instr(a."{hidden.column}", b."{_id(hidden.table)}") LIMIT 1'
        )
    }

    assert ("tags", "mlflow.parentRunId") in hits
    assert ("trace_request_metadata", "mlflow.sourceRun") in hits


def _id(table):
    entry = next(entry for entry in TABLES if entry.name == table)
    return entry.key[-1]
