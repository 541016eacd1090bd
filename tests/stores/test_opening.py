"""Sources that cannot be opened after all leave nothing open behind them."""

from pathlib import Path

import pytest

from mlporter.errors import UsageError
from mlporter.stores.opening import open_source
from tests.support.databases import rows

NO_PAIR = ("nowhere",)
CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def fails(address):
    with pytest.raises(UsageError, match="nowhere") as caught:
        open_source(address, uri_map=NO_PAIR)
    return caught  # whoever has the error has all that its frames have


def test_no_file_stays_open(mlflow_sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    caught = fails(f"sqlite:///{mlflow_sqlite}")
    opened = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    assert mlflow_sqlite not in opened
    assert set(tmp_path.iterdir()) == before
    assert caught.value.exit_code


def test_no_connection_stays_open(mlflow_postgres_url):
    caught = fails(mlflow_postgres_url)
    # A server takes a moment to let a connection go; one that was kept never goes.
    while rows(mlflow_postgres_url, CONNECTED)[0][0]:
        pass
    assert caught.value.exit_code


def test_nothing_that_was_read_from_a_server_stays(served, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    caught = fails(served.address)
    assert not list(tmp_path.iterdir())
    assert caught.value.exit_code
