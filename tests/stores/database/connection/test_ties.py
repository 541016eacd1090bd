"""Rows that an index gives sorted by its columns, sorted by the others of their order too."""

import math
import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlporter.catalogue.tables.tracking import METRICS
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.ties import settled, unsettled
from mlporter.stores.database.engines import postgresql, sqlite
from tests.support.databases import execute
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

REST = METRICS.order[3:]

points = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["", "k"]),
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([-1.0, 2.5, math.inf, math.nan]),
        st.booleans(),
    ),
    max_size=40,
)


def as_sorted(point):
    run, key, step, time, value, is_nan = point
    return run, key, step, time, math.isnan(value), 0 if math.isnan(value) else value, is_nan


@settings(max_examples=examples(60))
@given(points, st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_rows_come_sorted_however_they_were_cut(rows, sizes):
    rows = sorted(rows, key=lambda row: row[:3])
    columns = zip(*rows, strict=True) if rows else [()] * 6
    arrays = [pa.array(c, f.type) for c, f in zip(columns, METRICS.schema, strict=True)]
    whole = pa.RecordBatch.from_arrays(arrays, schema=METRICS.schema)
    batches, start = [], 0
    for size in [*sizes, len(rows)]:
        batches.append(whole.slice(start, size))
        start += size
    found = pa.Table.from_batches(settled(iter(batches), METRICS.order, REST), METRICS.schema)
    expected = sorted(rows, key=as_sorted)
    assert repr([tuple(row.values()) for row in found.to_pylist()]) == repr(expected)


TIMES = (3, 1, 2, 9, 8, 7)
RUN = "INSERT INTO runs (run_uuid, experiment_id) VALUES ('r', 0)"
POINTS = "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES " + ", ".join(
    f"('r', 'no step', 0.5, {time}, 0, FALSE)" for time in TIMES
)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request):
    """To a database with points that were logged without a step, and lie in no order."""
    if request.param == "sqlite":
        path = request.getfixturevalue("mlflow_sqlite")
        execute(sqlite_url(path), RUN, POINTS)
        opened = sqlite.open_reader(path, "here")
    else:
        url = request.getfixturevalue("mlflow_postgres_url")
        execute(url, RUN, POINTS)
        opened = postgresql.connect(parse_address(url).libpq, "here")
    yield opened
    opened.close()


def test_points_without_a_step_come_in_the_order_of_their_times(connection):
    found = pa.Table.from_batches(connection.read(METRICS, METRICS.columns))
    assert found["timestamp"].to_pylist() == sorted(TIMES)
    raw = [
        row for cells in connection.read_raw(METRICS, METRICS.columns, "", "") for row in cells[3]
    ]
    assert raw == sorted(TIMES)  # whoever goes on from one to the other meets the same rows


def test_sqlite_reads_points_by_an_index_and_sorts_nothing(mlflow_sqlite):
    with closing(sqlite3.connect(mlflow_sqlite)) as database:
        asked = sqlite.SqliteDialect().select(METRICS, METRICS.columns)
        plan = str(database.execute(f"EXPLAIN QUERY PLAN {asked}").fetchall())
    assert "USING INDEX index_metrics_run_uuid_key_step" in plan
    assert "TEMP B-TREE" not in plan


def test_what_is_not_read_cannot_be_sorted_by():
    assert unsettled(METRICS, METRICS.columns) == REST
    assert unsettled(METRICS, METRICS.columns[:5]) == ()
    assert unsettled(METRICS, METRICS.columns, "(SELECT …)") == ()
