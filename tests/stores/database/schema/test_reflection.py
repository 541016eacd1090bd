from __future__ import annotations

import pyarrow as pa
import pytest

from mlporter.catalogue import BOOKKEEPING_TABLES
from mlporter.catalogue.types import Kind
from mlporter.stores.addresses.address import AddressKind, parse_address
from mlporter.stores.database.engines import mysql, postgresql, sqlite
from mlporter.stores.database.schema.reflection import ActualColumn, actual_tables, as_catalogue
from tests.support.databases import execute
from tests.support.here import TABLES
from tests.support.mlflow_session import sqlite_url


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request):
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    if request.param == "mysql":
        return request.getfixturevalue("mlflow_mysql_url")
    return request.getfixturevalue("mlflow_postgres_url")


BY_NAME = {table.name: table for table in TABLES}


def reflected(url):
    address = parse_address(url)
    if address.kind is AddressKind.MYSQL:
        connection = mysql.connect(address)
    elif address.path is not None:
        connection = sqlite.open_reader(address.path, url)
    else:
        connection = postgresql.connect(address.libpq, url)
    try:
        return actual_tables(connection)
    finally:
        connection.close()


def test_what_mlflow_made_is_what_the_catalogue_says(url):
    actual = reflected(url)
    assert set(actual) - BOOKKEEPING_TABLES == set(BY_NAME)
    assert [table.name for table in as_catalogue(actual)] == [table.name for table in TABLES]
    for table in as_catalogue(actual):
        assert table == BY_NAME[table.name]
        there = {column.name: column for column in actual[table.name]}
        assert {name for name, column in there.items() if column.key} == set(table.key)
        assert {n for n, c in there.items() if c.generated} == {
            c.name for c in table.columns if c.generated
        }


def test_order_of_a_key_is_the_key_s_and_not_the_columns(url):
    execute(url, "CREATE TABLE mine (a INTEGER, b INTEGER, c INTEGER, PRIMARY KEY (c, a))")
    (mine,) = (table for table in as_catalogue(reflected(url)) if table.name == "mine")
    assert (mine.key, mine.kind) == (("c", "a"), Kind.UNKNOWN)
    assert mine.schema.names == ["a", "b", "c"]


def test_views_indexes_and_dropped_columns_are_no_tables_or_columns(url):
    execute(
        url,
        "CREATE VIEW seen AS SELECT * FROM runs",
        "CREATE INDEX more ON runs (name)",
        "ALTER TABLE runs ADD COLUMN brief INTEGER",
        "ALTER TABLE runs DROP COLUMN brief",
    )
    actual = reflected(url)
    assert not {"seen", "more"} & set(actual)
    assert {table for table in as_catalogue(actual) if table.name == "runs"} == {BY_NAME["runs"]}


def test_postgresql_tables_of_another_schema_are_somebody_elses(mlflow_postgres_url):
    execute(
        mlflow_postgres_url,
        "CREATE SCHEMA other",
        "CREATE TABLE other.runs (x INTEGER)",
        "CREATE TABLE other.theirs (x INTEGER)",
    )
    actual = reflected(mlflow_postgres_url)
    assert "theirs" not in actual
    assert "run_uuid" in {column.name for column in actual["runs"]}


def test_a_table_or_column_that_is_not_here_is_absent():
    actual = {"runs": (ActualColumn("run_uuid", "varchar(32)", 1), ActualColumn("name", "text"))}
    (runs,) = as_catalogue(actual)
    assert (runs.name, runs.schema.names, runs.kind) == ("runs", ["run_uuid", "name"], Kind.KEPT)


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("integer", pa.int64()),
        ("bigint", pa.int64()),
        ("smallint", pa.int64()),
        ("int(11)", pa.int64()),
        ("unsigned big int", pa.int64()),
        ("float", pa.float64()),
        ("float(53)", pa.float64()),
        ("double precision", pa.float64()),
        ("real", pa.float64()),
        ("boolean", pa.bool_()),
        ("blob", pa.binary()),
        ("varbinary(16)", pa.binary()),
        ("longtext", pa.string()),
        ("bigint(20)", pa.int64()),
        ("bigint(20) unsigned", pa.string()),
        ("bytea", pa.binary()),
        ("varchar(20)", pa.string()),
        ("text", pa.string()),
        ("character varying", pa.string()),
        ("", pa.string()),
        ("json", pa.string()),
        ("jsonb", pa.string()),
        ("uuid", pa.string()),
        ("timestamp without time zone", pa.string()),
        ("interval", pa.string()),
        ("integer[]", pa.string()),
        ("boolean[]", pa.string()),
        ("numeric", pa.string()),
        ("point", pa.string()),
        ("user defined", pa.string()),
    ],
)
def test_unknown_columns_get_a_type_that_loses_nothing(declared, kind):
    (table,) = as_catalogue({"mine": (ActualColumn("c", declared, 1),)})
    assert table.by_name["c"].type == kind


@pytest.mark.parametrize(
    ("declared", "value", "read"),
    [
        ("numeric", "12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("jsonb", "'{\"a\": 1}'", '{"a": 1}'),
        ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("timestamptz", "'2001-09-09 01:46:40+00'", None),
        ("interval", "'1 day'", "1 day"),
        ("point", "'(1,2)'", "(1,2)"),
        ("integer[]", "'{1,2}'", "{1,2}"),
        ("text[]", "'{a,b}'", "{a,b}"),
        ("boolean[]", "'{t}'", "{t}"),
        ("double precision[]", "'{0.5}'", "{0.5}"),
        ("date", "'2001-09-09'", "2001-09-09"),
        ("money", "1.5", "$1.50"),
        ("inet", "'10.0.0.1'", "10.0.0.1/32"),
        ("smallint", "7", 7),
        ("real", "0.5", 0.5),
        ("char(3)", "'ab'", None),
    ],
)
def test_postgresql_values_of_any_type_can_be_read(mlflow_postgres_url, declared, value, read):
    import mlporter  # noqa: PLC0415 -- the whole way, once

    execute(
        mlflow_postgres_url,
        f"CREATE TABLE mine (id INTEGER PRIMARY KEY, v {declared})",
        f"INSERT INTO mine VALUES (1, {value}), (2, NULL)",
    )
    found = mlporter.show(mlflow_postgres_url, "mine").read_all().to_pylist()
    assert found[1] == {"id": 2, "v": None}
    assert found[0]["v"] == read if read is not None else found[0]["v"]
