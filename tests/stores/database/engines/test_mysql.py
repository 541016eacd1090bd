"""MariaDB through PyMySQL: values as they are, one state of it, bounded memory, errors by name."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pyarrow as pa
import pytest

from mlporter.catalogue.types import Column, Table
from mlporter.errors import (
    AccessDeniedError,
    RefusedError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.engines import mysql
from mlporter.stores.database.mysql.rows import statements
from mlporter.stores.opening import open_source
from mlporter.stores.rows import spool
from tests.support.databases import execute, rows
from tests.support.mariadb import name_of


def read(source, table, columns=None):
    return [row for batch in source.read(table, columns) for row in batch.to_pylist()]


@pytest.fixture
def connection(empty_mysql_url):
    with closing(mysql.connect(parse_address(empty_mysql_url))) as opened:
        yield opened


def there_and_back(connection, array):
    """Values written into column ``v`` of a table of one's own, and read again."""
    table = Table(
        "mine", ("id",), (Column("id", pa.int64(), nullable=False), Column("v", array.type))
    )
    numbers = pa.array(range(len(array)), pa.int64())
    batch = pa.RecordBatch.from_arrays([numbers, array], schema=table.schema)
    assert connection.ingest("mine", table.schema, iter([batch])) == len(array)
    return [row["v"] for b in connection.read(table, table.columns) for row in b.to_pylist()]


# --- Values ---------------------------------------------------------------------------------------


def floats():
    """Floats of every size, the first and the last of them, and what people log."""
    chance = random.Random(1)
    found = [0.1, 0.1 + 0.2, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e22, 1e23]
    while len(found) < 5000:
        (value,) = struct.unpack("d", chance.randbytes(8))
        if math.isfinite(value):
            found += [value, chance.random(), chance.gauss(0, 1e5)]
    return [*found, -1.7976931348623157e308, 0.0, None]


def test_no_bit_of_a_float_is_lost(connection):
    connection.execute("CREATE TABLE mine (id BIGINT PRIMARY KEY, v DOUBLE)")
    values = floats()
    found = there_and_back(connection, pa.array(values, pa.float64()))
    assert [v if v is None else v.hex() for v in found] == [
        v if v is None else v.hex() for v in values
    ]


def test_nan_is_refused_by_name(connection):
    connection.execute("CREATE TABLE mine (id BIGINT PRIMARY KEY, v DOUBLE)")
    with pytest.raises(UnreachableError, match="no values of MySQL"):
        there_and_back(connection, pa.array([1.0, math.nan], pa.float64()))
    assert connection.scalar("SELECT count(*) FROM mine") == 0


TEXTS = [
    "", " ", "plain", "it's", "''", '"', "back\\slash", "\\'", "%s {0}", "a\0b", "line\nend\r",
    "tab\t", "\x1a", "\u00e9e\u0301", "\U0001f986\U0001f680", "\u200b", "\ufffd", "ends  ",
    "\ue000", "x" * 70_000, None,
]  # fmt: skip


def test_no_character_of_a_text_is_lost(connection):
    connection.execute("CREATE TABLE mine (id BIGINT PRIMARY KEY, v LONGTEXT)")
    assert there_and_back(connection, pa.array(TEXTS, pa.string())) == TEXTS


def test_no_byte_is_lost(connection):
    connection.execute("CREATE TABLE mine (id BIGINT PRIMARY KEY, v LONGBLOB)")
    values = [bytes(range(256)), b"", b"'", None]
    assert there_and_back(connection, pa.array(values, pa.binary())) == values


NAMES = [
    "",
    " ",
    "A",
    "B",
    "Z",
    "a",
    "a ",
    "a\t",
    "b",
    "ä",
    "z",
    "é",
    "e\u0301",
    "\ue000",
    "🦆",
    "~",
]


def test_text_is_sorted_by_its_bytes_whatever_the_collation(mlflow_mysql_url, usual_mysql_url):
    insert = "INSERT INTO registered_models (workspace, name) VALUES ('default', '{}')"
    # Those that the usual collation takes for one name are left out there.
    few = [name for name in NAMES if name not in {"A", "B", "Z", "a ", "ä", "é", " ", "e\u0301"}]
    for url, names in ((mlflow_mysql_url, NAMES), (usual_mysql_url, few)):
        execute(url, *(insert.format(name) for name in names))
        with closing(open_source(url)) as source:
            found = [row["name"] for row in read(source, "registered_models")]
        assert found == sorted(names, key=str.encode)


def test_a_json_document_is_read_as_it_was_written(mlflow_mysql_url):
    document = '{"b": 1.0,   "a": [1e5, "\u00e9"]}'
    execute(
        mlflow_mysql_url,
        "INSERT INTO evaluation_datasets (dataset_id, name) VALUES ('d', 'd')",
        "INSERT INTO evaluation_dataset_records (dataset_record_id, dataset_id, inputs, input_hash,"
        f" created_time, last_update_time) VALUES ('r', 'd', '{document}', 'h', 1, 1)",
    )
    with closing(open_source(mlflow_mysql_url)) as source:
        (row,) = read(source, "evaluation_dataset_records")
    assert row["inputs"] == document
    assert json.loads(row["inputs"])["a"][0] == 1e5


def test_a_number_of_single_precision_is_what_mlflow_sees(mlflow_mysql_url):
    """MLflow's FLOAT has 24 bits there, and MySQL shows six digits of them to everybody."""
    execute(
        mlflow_mysql_url,
        "INSERT INTO budget_policies (budget_policy_id, budget_unit, budget_amount, duration_unit,"
        " duration_value, target_scope, budget_action, created_at, last_updated_at)"
        " VALUES ('b', 'USD', 99.99, 'DAYS', 1, 'GLOBAL', 'ALERT', 1, 1)",
    )
    with closing(open_source(mlflow_mysql_url)) as source:
        (row,) = read(source, "budget_policies")
    assert row["budget_amount"] == 99.99
    assert rows(mlflow_mysql_url, "SELECT budget_amount FROM budget_policies") == [(99.99,)]


@pytest.mark.parametrize(
    ("declared", "value", "found"),
    [
        ("DECIMAL(30, 9)", "12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("JSON", "'{\"a\": 1}'", '{"a": 1}'),
        ("TIMESTAMP NULL", "'2001-09-09 01:46:40'", "2001-09-09 01:46:40"),
        ("TIME", "'01:02:03'", "01:02:03"),
        ("ENUM('x', 'y')", "'y'", "y"),
        ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
        ("INT", "7", 7),
        ("BIT(8)", "b'11111111'", b"\xff"),
        ("VARBINARY(9)", "x'00ff'", b"\x00\xff"),
        ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')", None),
        ("CHAR(3)", "'ab'", "ab"),
        ("VARCHAR(9) CHARACTER SET latin1", "'\u00e9'", "\u00e9"),
    ],
)
def test_values_of_any_type_can_be_read(mlflow_mysql_url, declared, value, found):
    execute(
        mlflow_mysql_url,
        f"CREATE TABLE mine (id INTEGER PRIMARY KEY, v {declared})",
        f"INSERT INTO mine VALUES (1, {value}), (2, NULL)",
    )
    with closing(open_source(mlflow_mysql_url)) as source:
        first, second = read(source, "mine")
    assert second == {"id": 2, "v": None}
    assert first["v"] == found if found is not None else first["v"]


# --- One state, several threads, bounded memory ---------------------------------------------------

INSERT = "INSERT INTO registered_models (workspace, name) VALUES ('default', '{}')"


def test_what_comes_later_is_not_seen(mlflow_mysql_url):
    execute(mlflow_mysql_url, INSERT.format("before"))
    with closing(open_source(mlflow_mysql_url)) as source:
        execute(mlflow_mysql_url, INSERT.format("after"), "DELETE FROM experiments")
        assert [row["name"] for row in read(source, "registered_models")] == ["before"]
        assert source.count("experiments") == 1
    with closing(open_source(mlflow_mysql_url)) as source:
        assert source.count("registered_models") == 2


def test_tables_can_be_read_side_by_side(mlflow_mysql_url):
    execute(mlflow_mysql_url, *(INSERT.format(f"m{n}") for n in range(100)))
    with closing(open_source(mlflow_mysql_url)) as source:
        names = [t.name for t in source.tables if t.kind.value != "secret"]
        first = source.read("registered_models")
        begun = next(first)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda name: read(source, name), names))
        assert together == [read(source, name) for name in names]
        assert begun.num_rows + sum(batch.num_rows for batch in first) == 100


def test_a_large_table_goes_through_a_file_in_bounded_batches(mlflow_mysql_url, monkeypatch):
    monkeypatch.setattr(spool, "_IN_MEMORY", 1 << 20)
    execute(
        mlflow_mysql_url,
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
        " VALUES ('t', 0, 1, 'OK')",
        "INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano,"
        " content) SELECT 't', 0, CONCAT('s', seq), 'OK', 1, REPEAT('x', 100000)"
        " FROM seq_0_to_399",
    )
    with closing(open_source(mlflow_mysql_url)) as source:
        sizes = [batch.nbytes for batch in source.read("spans")]
        assert sum(batch.num_rows for batch in source.read("spans")) == 400
    assert sum(sizes) > 40_000_000
    assert max(sizes) < 20 << 20


def test_statements_are_short_and_a_long_row_has_one_of_its_own():
    schema = pa.schema([pa.field("k", pa.int64()), pa.field("v", pa.string())])
    values = ["x" * 10, "y" * 500, "z" * 10, "it's"]
    batch = pa.RecordBatch.from_pydict({"k": [1, 2, 3, None], "v": values}, schema)
    found = list(statements("t", batch, 120, "db"))
    assert [len(s) > 120 for s in found] == [False, True, False]
    assert found[-1] == b"""INSERT INTO "t" ("k", "v") VALUES (3,'zzzzzzzzzz'),(NULL,'it''s')"""


# --- What is refused, and what goes wrong ---------------------------------------------------------


def refused(url, kind):
    with pytest.raises(kind) as caught:
        open_source(url)
    assert type(caught.value) is kind
    return caught.value


def test_no_such_database(mariadb):
    error = refused(mariadb.url("nowhere"), UnreachableError)
    assert "Unknown database 'nowhere'" in str(error)
    assert "CREATE DATABASE" in error.hint


def test_no_server():
    error = refused("mysql+pymysql://me:s3cret@127.0.0.1:1/mlflow", UnreachableError)
    assert "refused" in str(error)
    assert "s3cret" not in f"{error} {error.hint} {error!r}"


def test_a_wrong_password_is_an_access_denied_and_never_shown(mariadb, mlflow_mysql_url):
    user = f"u{name_of(mlflow_mysql_url)[:20]}"
    mariadb.run(f"CREATE USER {user}@localhost IDENTIFIED BY 'right'")
    url = mariadb.url(name_of(mlflow_mysql_url), f"{user}:wr0ng")
    error = refused(url, AccessDeniedError)
    assert "wr0ng" not in f"{error} {error.hint} {error.subject} {error!r}"
    # The right one is let in, and may see nothing of this database.
    error = refused(url.replace("wr0ng", "right"), AccessDeniedError)
    assert "denied" in str(error)
    mariadb.run(f"DROP USER {user}@localhost")


def test_without_pymysql_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    error = refused("mysql://host/db", UnsupportedError)
    assert error.hint == "pip install 'mlporter[mysql]'"


@pytest.mark.parametrize(
    "address", ["mysql+pymysql://host", "mysql://host:port/db", "mysql://host/db?nonsense=1"]
)
def test_an_address_that_makes_no_sense(address):
    refused(address, UsageError)


def test_options_of_an_address_are_pymysqls_as_sqlalchemy_reads_them(monkeypatch):
    monkeypatch.setenv("MLFLOW_MYSQL_SSL_CERT", "/cert.pem")
    text = "mysql://me:p%40ss@host:3307/db?charset=latin1&connect_timeout=5&unix_socket=/s"
    found = mysql.driver_arguments(parse_address(text))
    assert found == {
        "host": "host",
        "port": 3307,
        "user": "me",
        "password": "p@ss",
        "database": "db",
        "connect_timeout": 5,
        "unix_socket": "/s",
        "ssl_cert": "/cert.pem",
    }


def test_a_table_without_transactions_is_refused(mlflow_mysql_url):
    execute(mlflow_mysql_url, "CREATE TABLE mine (id INTEGER PRIMARY KEY) ENGINE=MyISAM")
    error = refused(mlflow_mysql_url, RefusedError)
    assert error.reasons == ("table mine is of the engine MyISAM",)


def test_a_statement_that_is_interrupted_ends_at_once(mlflow_mysql_url, mariadb, request):
    """The server ends it too, and the connection goes on."""
    running = "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(100)'"

    def interrupt():
        while rows(mariadb.url("mysql"), running) == [(0,)]:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    # A job in the background of a shell ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with closing(mysql.connect(parse_address(mlflow_mysql_url))) as opened:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            opened.scalar("SELECT SLEEP(100)")
        thread.join()
        assert rows(mariadb.url("mysql"), running) == [(0,)]
        assert opened.scalar("SELECT 1") == 1
