"""Values of any column as SQL: each engine reads back what was meant."""

from __future__ import annotations

import math
from contextlib import closing

import pytest

from mlporter.stores.addresses.address import AddressKind, parse_address
from mlporter.stores.database.connection.sql_filters import literal_of
from mlporter.stores.database.engines import mysql, postgresql, sqlite
from tests.support.mlflow_session import sqlite_url

VALUES = [None, True, False, 7, -1, 0.1, -2.5e300, b"\x00\xffx", b"", "it's", "a\\b", "é"]


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def connection(request):
    if request.param == "sqlite":
        path = request.getfixturevalue("mlflow_sqlite")
        made = sqlite.open_reader(path, sqlite_url(path))
    else:
        fixture = {"postgresql": "empty_postgres_url", "mysql": "empty_mysql_url"}[request.param]
        address = parse_address(request.getfixturevalue(fixture))
        if address.kind is AddressKind.MYSQL:
            made = mysql.connect(address)
        else:
            made = postgresql.connect(address.libpq, str(address))
    with closing(made):
        yield made


def test_an_engine_reads_what_was_meant(connection):
    engine = connection.dialect.name
    casts = {bytes: "bytea", float: "float8"} if engine == "postgresql" else {}
    for value in VALUES:
        cast = casts.get(type(value))
        text = literal_of(value, engine)
        found = connection.scalar(f"SELECT CAST({text} AS {cast})" if cast else f"SELECT {text}")
        assert (bytes(found) if isinstance(value, bytes) else found) == value


def test_what_only_some_engines_hold(connection):
    engine = connection.dialect.name
    if engine == "sqlite":
        assert (
            connection.scalar(f"SELECT hex({literal_of('a' + chr(0) + 'b', engine)})") == "610062"
        )
        assert connection.scalar(f"SELECT {literal_of(-math.inf, engine)}") == -math.inf
        assert connection.scalar(f"SELECT {literal_of(math.nan, engine)}") is None
    if engine == "postgresql":
        for value in (math.inf, -math.inf):
            assert connection.scalar(f"SELECT {literal_of(value, engine)}::float8") == value
        assert math.isnan(connection.scalar(f"SELECT {literal_of(math.nan, engine)}::float8"))
