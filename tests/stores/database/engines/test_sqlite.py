"""What SQLite says its own way."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Kind
from mlporter.stores.database.engines import sqlite

TAGS = BY_NAME["experiment_tags"]


@pytest.fixture
def unsorted(mlflow_sqlite):
    """A database whose tags lie otherwise than their keys are sorted."""
    with closing(sqlite3.connect(mlflow_sqlite)) as database:
        rows = [("b", "1", 0), ("a", "2", 0)]
        database.executemany("INSERT INTO experiment_tags VALUES (?, ?, ?)", rows)
        database.commit()
    with closing(sqlite.open_reader(mlflow_sqlite, "here")) as connection:
        yield connection


def keys(connection, table, *, as_lying):
    batches = connection.read(table, table.columns, as_lying=as_lying)
    return [key for batch in batches for key in batch.column("key").to_pylist()]


def test_rows_are_read_as_they_lie_or_by_key(unsorted):
    assert keys(unsorted, TAGS, as_lying=True) == ["b", "a"]
    assert keys(unsorted, TAGS, as_lying=False) == ["a", "b"]


def test_another_programs_table_may_have_no_numbers_of_rows(unsorted):
    assert keys(unsorted, replace(TAGS, kind=Kind.UNKNOWN), as_lying=True) == ["a", "b"]
