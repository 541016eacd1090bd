"""Every revision of the schema, read directly and after MLflow's own upgrade: the same rows."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import date

import pytest

from mlporter.catalogue.types import Kind
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.history.changes import CHANGES
from mlporter.stores.database.history.shape import POSITIONS
from mlporter.stores.database.source import DatabaseSource
from mlporter.stores.protocols import Among
from tests.support.databases import sha256
from tests.support.here import NEWEST
from tests.support.mlflow_session import sqlite_url
from tests.support.old_schemas import OLDER, contents, fill, upgrade

STATIONS = (
    "451aebb31d03",
    "2b4d017a5e9b",
    "97727af70f4d",
    "0584bdc529eb",
    "6953534de441",
    "1bd49d398cd23",
    "d3e4f5a6b7c8",
    "1b5f0d9ad7c1",
    "b7e2c1a4d9f3",
    "75868b020152",
    *(("dc11669786a5",) if "dc11669786a5" in OLDER else ()),
)
"""Where rows are put in. Each is read there, and at every revision up to the next one."""


PUT_IN = {"latest_metrics"}
"""Derived tables that are read of older databases, too. The others are made of what is written."""

USERS_BECAME_TAGS = "90e64c465722"

LOST_BY_MLFLOW = (f"{6:032x}", "mlflow.user", "somebody")
"""Of the runs of an experiment, MLflow's script 90e64c465722 sees one only: it calls the column
`experiment_id` the primary key of runs. Here each run's user becomes its tag."""


def read_all(source, table, columns=None, among=None):
    """Rows as tuples, in the order in which they come."""
    batches = source.read(table, columns, among)
    return [row for batch in batches for row in zip(*batch.to_pydict().values(), strict=True)]


def comparable(rows):
    """As SQLite has them: booleans are numbers there, and so are dates texts."""

    def plain(value):
        if isinstance(value, bool):
            return int(value)
        return value.isoformat() if isinstance(value, date) else value

    return sorted(([plain(value) for value in row] for row in rows), key=repr)


def open_old(path):
    return closing(DatabaseSource(parse_address(sqlite_url(path))))


def span_of(station):
    """The revisions from a station up to the next one that changed tables or rows."""
    after = STATIONS[STATIONS.index(station) + 1 :]
    end = OLDER.index(after[0]) if after else len(OLDER)
    changed = {USERS_BECAME_TAGS, *(change.revision for change in CHANGES)}
    between = OLDER[OLDER.index(station) + 1 : end]
    return (station, *(revision for revision in between if revision in changed))


@pytest.mark.parametrize("station", STATIONS)
def test_read_directly_is_read_after_the_upgrade(station, old_schemas, tmp_path):
    path, newest = tmp_path / "old.db", tmp_path / "new.db"
    shutil.copy(old_schemas / f"{station}.db", path)
    fill(sqlite_url(path))
    shutil.copy(path, newest)
    upgrade(sqlite_url(newest))
    for revision in span_of(station):
        upgrade(sqlite_url(path), revision)
        before = sha256(path)
        with open_old(path) as old, open_old(newest) as new:
            assert (old.description.stored_revision, old.description.revision) == (
                revision,
                NEWEST,
            )
            assert old.tables == new.tables
            for table in new.tables:
                if table.kind is Kind.DERIVED and table.name not in PUT_IN:
                    continue
                names = tuple(table.schema.names)
                rows, expected = read_all(old, table.name), read_all(new, table.name)
                if (revision, table.name) == (OLDER[0], "tags"):
                    assert rows.pop() == LOST_BY_MLFLOW
                    assert old.count(table.name) == len(rows) + 1
                    assert rows == expected
                    continue
                where = f"{table.name} at {revision}"
                assert repr(rows) == repr(expected), where
                found = contents(newest, table.name, names)
                assert [*map(list, found)] == comparable(rows), where
                assert old.count(table.name) == len(rows), where
        assert sha256(path) == before


@pytest.mark.parametrize("revision", ["451aebb31d03", "0584bdc529eb", "1bd49d398cd23"])
def test_a_part_is_read_by_any_column(revision, old_schemas, tmp_path):
    path = tmp_path / "old.db"
    shutil.copy(old_schemas / f"{revision}.db", path)
    fill(sqlite_url(path))
    with open_old(path) as source:
        for table in source.tables:
            for column in table.columns:
                if column.generated or not column.name.endswith(("id", "name", "key", "workspace")):
                    continue
                names = tuple(dict.fromkeys((column.name, *table.key)))
                whole = read_all(source, table.name, names)
                values = sorted({row[0] for row in whole if row[0] is not None})[:2]
                among = Among(column.name, tuple(values))
                part = read_all(source, table.name, names, among)
                assert part == [row for row in whole if row[0] in values], (table.name, column.name)


def test_the_changes_are_those_of_mlflows_migrations(old_schemas):
    """What each revision really brought, by looking before and after."""
    tables, columns = set(), {}
    brought = [c for c in CHANGES if POSITIONS[c.revision] <= POSITIONS[NEWEST]]
    before = columns_of(old_schemas / f"{OLDER[0]}.db")
    for revision in (*OLDER[1:], NEWEST):
        now = columns_of(old_schemas / f"{revision}.db")
        for table, names in now.items():
            if table not in before:
                tables.add((revision, table))
            elif new := names - before[table]:
                columns[revision, table] = new
        before = now
    assert tables == {(change.revision, table) for change in brought for table in change.tables}
    # A column that was not to last.
    assert columns.pop(("c8d9e0f1a2b3", "spans")) == {"dimension_attributes"}
    assert columns == {
        (change.revision, table): set(new)
        for change in brought
        for table, new in change.columns.items()
    }


def columns_of(path):
    from tests.support.databases import rows  # noqa: PLC0415 -- for this one

    found = rows(
        sqlite_url(path),
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND t.name NOT IN ('alembic_version', 'sqlite_sequence')",
    )
    columns: dict[str, set[str]] = {}
    for table, column in found:
        columns.setdefault(table, set()).add(column)
    return columns
