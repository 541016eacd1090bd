from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mlporter.errors import UnsupportedError, UsageError
from mlporter.stores.addresses.address import AddressKind, parse_address


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////srv/mlflow.db", "/srv/mlflow.db"),
        ("sqlite:///with space.db", "with space.db"),
        ("sqlite:///../up.db", "../up.db"),
        ("sqlite+pysqlite:///mlflow.db", "mlflow.db"),
        ("SQLite:///mlflow.db", "mlflow.db"),
        ("sqlite:///mlflow.db?timeout=10", "mlflow.db"),
    ],
)
def test_sqlite_addresses_are_read_as_sqlalchemy_reads_them(text, path):
    address = parse_address(text)
    assert (address.kind, address.path) == (AddressKind.SQLITE, Path(path))
    assert address.sqlalchemy == f"sqlite:///{path}"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@host/db",
        "postgresql+psycopg2://me@host/db",
        "postgresql+psycopg://me@host/db",
        "postgres://me@host/db",
    ],
)
def test_postgresql_works_whatever_driver_is_named(text):
    address = parse_address(text)
    assert address.kind is AddressKind.POSTGRESQL
    assert address.libpq == "postgresql://me@host/db"
    assert address.sqlalchemy == "postgresql+psycopg2://me@host/db"


@pytest.mark.parametrize(
    "text", ["mysql://me@host/db", "mysql+pymysql://me@host/db", "mariadb+mysqldb://me@host/db"]
)
def test_mysql_works_whatever_driver_is_named(text):
    address = parse_address(text)
    assert address.kind is AddressKind.MYSQL
    assert address.sqlalchemy == "mysql+pymysql://me@host/db"
    assert address.upgrade_command == "mlflow db upgrade mysql+pymysql://me@host/db"


@pytest.mark.parametrize("text", ["backup/", "backup", "./a/b", "/srv/backup", "with space"])
def test_anything_without_a_scheme_is_a_directory(text):
    address = parse_address(text)
    assert (address.kind, address.path) == (AddressKind.BUNDLE, Path(text))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", UsageError),
        ("  ", UsageError),
        ("sqlite:///", UsageError),
        ("sqlite:///:memory:", UsageError),
        ("sqlite://mlflow.db", UsageError),
        ("http://", UsageError),
        ("http://[bad", UsageError),
        ("mssql+pyodbc://host/db", UnsupportedError),
        ("databricks-uc", UnsupportedError),
        ("file://otherhost/srv/mlruns", UnsupportedError),
        ("hdfs://host/backup", UnsupportedError),
    ],
)
def test_other_addresses_are_refused_with_a_hint(text, kind):
    with pytest.raises(kind) as caught:
        parse_address(text)
    assert type(caught.value) is kind
    assert caught.value.hint or "in-memory" in str(caught.value)


def test_a_database_file_named_as_a_directory_says_how_to_name_it(tmp_path):
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(UsageError) as caught:
        parse_address(f"{tmp_path}/mlflow.db")
    assert f"sqlite:///{tmp_path}/mlflow.db" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:s3cret@host/db",
        "postgresql://me:s3cret@host:5432/db?sslmode=require",
        "postgresql://host/db?password=s3cret&user=me",
        "postgresql+psycopg2://me:p%40s3cret@host/db",
        "postgresql://me:%73s3cret@/db?host=/tmp",
    ],
)
def test_a_password_is_never_shown(text):
    shown = parse_address(text)
    assert "s3cret" in shown.libpq
    for seen in (str(shown), repr(shown), f"{shown}", shown.upgrade_command):
        assert "s3cret" not in seen
        assert "host" in seen


@pytest.mark.parametrize("text", ["oracle://me:s3cret@server", "mssql://me:s3cret@host/db"])
def test_a_password_is_not_shown_in_an_error_either(text):
    with pytest.raises(UnsupportedError) as caught:
        parse_address(text)
    assert "s3cret" not in f"{caught.value}{caught.value.subject}{caught.value.hint}"


def test_the_upgrade_command_can_be_pasted_into_a_shell():
    address = parse_address("sqlite:////srv/my registry/mlflow.db")
    words = shlex.split(address.upgrade_command)
    assert words == ["mlflow", "db", "upgrade", "sqlite:////srv/my registry/mlflow.db"]


@pytest.mark.parametrize(
    "text",
    ["http://server:5000", "https://me:s3cret@host/prefix/", "databricks", "databricks://profile"],
)
def test_tracking_servers(text):
    address = parse_address(text)
    assert address.kind is AddressKind.SERVER
    assert "s3cret" not in f"{address} {address!r}"
