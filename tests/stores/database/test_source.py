"""Reading a database: order, types, one state of it, and bounded memory."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa
import pytest

from mlporter.catalogue import BY_NAME
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.engines.postgresql import PostgresqlDialect, connect
from mlporter.stores.opening import open_source
from tests.support.databases import execute, rows
from tests.support.here import TABLES
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    return request.getfixturevalue("mlflow_postgres_url")


def read(source, table, columns=None):
    return [row for batch in source.read(table, columns) for row in batch.to_pylist()]


#: Every order of these but that of their bytes is wrong somewhere: case, accents, planes.
NAMES = ["", " ", "A", "B", "Z", "a", "b", "ä", "z", "é", "e\u0301", "\ue000", "🦆", "~", "ß", "ss"]


def test_text_is_sorted_by_its_bytes_on_every_database(url):
    execute(
        url,
        *(
            f"INSERT INTO registered_models (workspace, name) VALUES ('default', '{name}')"
            for name in NAMES
        ),
    )
    with closing(open_source(url)) as source:
        found = [row["name"] for row in read(source, "registered_models")]
    assert found == sorted(NAMES, key=str.encode)


def test_postgresql_is_told_to_sort_by_bytes():
    """Databases have the collation of the locale they were created with; that of the tests is C."""
    table = BY_NAME["params"]
    assert (
        PostgresqlDialect()
        .select(table, table.columns)
        .endswith(' ORDER BY "run_uuid" COLLATE "C", "key" COLLATE "C"')
    )


@pytest.mark.parametrize("locale", ["LOCALE 'C'", "LOCALE_PROVIDER builtin LOCALE 'C.UTF-8'"])
def test_a_postgresql_that_sorts_by_bytes_need_not_be_told(postgres, locale):
    """Its indexes are of use only then; MLflow's own rows prove the order elsewhere."""
    url = postgres.new_database(f"template0 {locale}")
    with closing(connect(parse_address(postgres.plain(url)).libpq, url)) as connection:
        table = BY_NAME["params"]
        sql = connection.dialect.select(table, table.columns)
        assert "COLLATE" not in sql
        in_order = connection.rows("SELECT x FROM unnest(ARRAY['b', 'B', 'ä', 'a']) x ORDER BY x")
    assert [text for (text,) in in_order] == ["B", "a", "b", "ä"]
    postgres.drop(url)


def test_every_table_has_the_catalogue_s_types(rich_sqlite_template):
    with closing(open_source(rich_sqlite_template.tracking_uri)) as source:
        for table in source.tables:
            if table.kind.value == "secret":
                continue
            for batch in source.read(table.name):
                assert batch.schema.equals(table.schema), table.name
        assert [table.name for table in source.tables] == [table.name for table in TABLES]


def test_columns_come_in_the_order_asked_for(url):
    with closing(open_source(url)) as source:
        (batch,) = source.read("experiments", ("name", "experiment_id"))
    assert batch.schema.names == ["name", "experiment_id"]


def test_a_column_that_begins_with_nulls_keeps_its_type(mlflow_sqlite):
    """SQLite's values carry types and its columns don't: the driver would guess from the first."""
    url = sqlite_url(mlflow_sqlite)
    columns = "run_uuid, name, start_time, experiment_id"
    execute(
        url,
        *(f"INSERT INTO runs ({columns}) VALUES ('{n:05}', NULL, NULL, 0)" for n in range(2000)),
        f"INSERT INTO runs ({columns}) VALUES ('99999', 'last', 5, 0)",
    )
    with closing(open_source(url)) as source:
        last = read(source, "runs", ("run_uuid", "name", "start_time"))[-1]
    assert last == {"run_uuid": "99999", "name": "last", "start_time": 5}


@pytest.mark.parametrize("document", ["1", "1.50", "true", "null", '"text"', '{"a": 1}', "[1, 2]"])
def test_a_json_document_is_never_taken_for_a_number(mlflow_sqlite, document):
    """A column that is declared JSON makes SQLite store the document 1 as a number."""
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "INSERT INTO evaluation_datasets (dataset_id, name) VALUES ('d', 'd')",
        "INSERT INTO evaluation_dataset_records (dataset_record_id, dataset_id, inputs, input_hash,"
        f" created_time, last_update_time) VALUES ('r', 'd', '{document}', 'h', 1, 1)",
    )
    with closing(open_source(url)) as source:
        (row,) = read(source, "evaluation_dataset_records")
    assert json.loads(row["inputs"]) == json.loads(document)


def test_nulls_where_the_schema_forbids_them_are_named(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'name VARCHAR(256) NOT NULL',"
        " 'name VARCHAR(256)') WHERE name = 'experiments'",
    )
    execute(url, "UPDATE experiments SET name = NULL")
    with closing(open_source(url)) as source:
        assert read(source, "experiments") == []
        assert source.count("experiments") == 0
        (entry,) = source.losses()
    assert (entry.kind, entry.id, entry.path) == ("experiments", "0", "name")


# --- One state ------------------------------------------------------------------------------------

INSERT = "INSERT INTO registered_models (workspace, name) VALUES ('default', '{}')"


def test_connections_opened_later_see_the_same_postgresql_state(mlflow_postgres_url):
    execute(mlflow_postgres_url, INSERT.format("before"))
    with closing(open_source(mlflow_postgres_url)) as source:
        execute(mlflow_postgres_url, INSERT.format("after"), "DELETE FROM experiments")
        # Two at a time: the second needs a connection of its own.
        first = source.read("registered_models")
        second = source.read("registered_models")
        names = [next(batches).column("name").to_pylist() for batches in (first, second)]
        assert names == [["before"], ["before"]]
        assert source.count("registered_models") == 1
        assert source.count("experiments") == 1
        first.close()
        second.close()
    with closing(open_source(mlflow_postgres_url)) as source:
        assert source.count("registered_models") == 2


def test_no_connection_is_left_behind(mlflow_postgres_url):
    source = open_source(mlflow_postgres_url)
    batches = source.read("experiments")
    next(batches)
    source.close()
    others = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    # A server takes a moment to let a connection go; one that was kept never goes.
    while rows(mlflow_postgres_url, others) != [(0,)]:
        pass


def test_tables_can_be_read_side_by_side(rich_sqlite_template):
    names = [t.name for t in TABLES if t.kind.value != "secret"]
    with closing(open_source(rich_sqlite_template.tracking_uri)) as source:
        alone = [read(source, name) for name in names]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda name: read(source, name), names))
    # NaN is not equal to itself, but prints the same.
    assert list(map(repr, together)) == list(map(repr, alone))


# --- Memory ---------------------------------------------------------------------------------------


def test_batches_are_bounded(url):
    fill_metrics(url, runs=20, keys=50, steps=100)
    with closing(open_source(url)) as source:
        sizes = [batch.nbytes for batch in source.read("metrics")]
        assert sum(batch.num_rows for batch in source.read("metrics")) == 100_000
    assert len(sizes) > 1 or sizes[0] < 32 << 20
    assert max(sizes) < 32 << 20


def test_long_texts_come_in_short_batches(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES ('t', 0, 1, 'OK')",
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
        " INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano,"
        " content) SELECT 't', 0, 's' || i, 'OK', 1, hex(zeroblob(50000)) FROM n",
    )
    largest = 0
    with closing(open_source(url)) as source:
        for batch in source.read("spans"):
            largest = max(largest, batch.nbytes)
    assert largest < 64 << 20


def test_the_schema_of_a_read_is_right_even_without_rows(url):
    with closing(open_source(url)) as source:
        assert list(source.read("spans")) == []
        entry = next(table for table in source.tables if table.name == "spans")
    assert isinstance(entry.schema, pa.Schema)
