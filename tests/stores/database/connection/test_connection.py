"""Connections that are closed while somebody still reads."""

from concurrent.futures import CancelledError
from contextlib import closing

import pytest

from mlporter.catalogue.tables.tracking import METRICS
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.engines import postgresql, sqlite
from tests.support.forks import run
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import fill_metrics

CLOSED_MEANWHILE = """
import sys
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event, Thread
from mlporter.catalogue.tables.tracking import METRICS
from mlporter.stores.database.engines import sqlite

def read(connection, begun, ended):
    try:
        for _ in connection.read(METRICS, METRICS.columns):
            begun.set()
    except CancelledError:
        ended.append("cancelled")

ended = []
for _ in range(20):
    connection, begun = sqlite.open_reader(Path(sys.argv[1]), "here"), Event()
    thread = Thread(target=read, args=(connection, begun, ended))
    thread.start()
    begun.wait()
    connection.close()
    thread.join()
print(set(ended))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request):
    """Opens a connection to a database with more points than come at once."""
    if request.param == "sqlite":
        path = request.getfixturevalue("mlflow_sqlite")
        fill_metrics(sqlite_url(path), runs=80, keys=20, steps=130)
        return lambda: sqlite.open_reader(path, "here")
    url = request.getfixturevalue("mlflow_postgres_url")
    fill_metrics(url, runs=80, keys=20, steps=130)
    return lambda: postgresql.connect(parse_address(url).libpq, "here")


def test_nothing_is_read_on_after_it_was_closed(opened):
    with closing(opened()) as connection:
        begun = connection.read(METRICS, METRICS.columns)
        assert next(begun).num_rows
        connection.close()
        for batches in (begun, connection.read(METRICS, METRICS.columns)):
            with pytest.raises(CancelledError):
                next(batches)


def test_closing_waits_for_what_another_thread_reads(mlflow_sqlite, tmp_path):
    """A driver that is let go of meanwhile ends the process."""
    fill_metrics(sqlite_url(mlflow_sqlite), runs=20, keys=20, steps=250)
    done = run(["-c", CLOSED_MEANWHILE, str(mlflow_sqlite)], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{'cancelled'}\n", "")
