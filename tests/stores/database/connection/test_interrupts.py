from __future__ import annotations

import os
import signal
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count

import psycopg2
import pyarrow as pa
import pytest

from mlporter import stopping
from mlporter.catalogue import BY_NAME
from mlporter.errors import InterruptedByUserError, UnreachableError
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.database.connection.interrupts import interruptible
from mlporter.stores.database.engines import postgresql, sqlite
from tests.support.databases import rows
from tests.support.engines import Postgres
from tests.support.mlflow_session import sqlite_url


@pytest.fixture(autouse=True)
def interrupts_are_raised():
    """As in a terminal: a shell's background jobs start with SIGINT ignored, and CI may be one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_outcome_is_the_call_s():
    assert interruptible(lambda: 42, lambda: None) == 42
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0, lambda: None)


def test_a_call_that_took_too_long_for_itself_has_ended():
    def call():
        raise TimeoutError("the database's own")

    with pytest.raises(TimeoutError, match="own"):
        interruptible(call, lambda: None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_makes_calls_too():
    """It has none of the threads that wait for them."""
    interruptible(int, lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads.
        child = os.fork()
    if not child:
        os._exit(interruptible(lambda: 7, lambda: None))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_an_interrupt_cancels_and_waits_for_the_end():
    cancelled, ended = threading.Event(), []

    def call():
        interrupt()
        assert cancelled.wait(60)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        interruptible(call, cancelled.set)
    assert ended == [True]


def test_an_interrupt_that_wakes_nobody_is_seen_all_the_same():
    """It came when the main thread had not begun to wait: as if another thread had got it."""
    cancelled, ended = threading.Event(), []

    def call():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        ended.append(cancelled.wait(60))

    with pytest.raises(KeyboardInterrupt):
        interruptible(call, cancelled.set)
    assert ended == [True]


def test_calls_one_after_the_other_start_one_thread():
    made = {interruptible(threading.get_ident, lambda: None) for _ in range(50)}
    assert len(made) == 1
    assert threading.get_ident() not in made


def test_nothing_holds_on_to_a_call_that_has_ended():
    class Rows(list):
        """Of the last call."""

    given = Rows()
    kept = weakref.ref(given)
    interruptible(lambda given=given: len(given), lambda: None)
    del given
    assert kept() is None


def test_an_interrupt_is_never_lost_because_the_call_succeeded():
    with pytest.raises(KeyboardInterrupt):
        interruptible(interrupt, lambda: None)


def test_other_threads_make_their_calls_themselves():
    seen = []
    thread = threading.Thread(
        target=lambda: interruptible(lambda: seen.append(threading.current_thread()), lambda: None)
    )
    thread.start()
    thread.join()
    assert seen == [thread]


@pytest.fixture
def going_on():
    yield
    stopping.let_go_on()


@pytest.mark.usefixtures("going_on")
@pytest.mark.parametrize("reads", [True, False])
def test_what_reads_is_cancelled_in_other_threads_too(reads):
    """A commit that has begun is not: whoever waits for it hears how it ended."""
    begun, cancelled, go_on = threading.Event(), threading.Event(), threading.Event()

    def call():
        begun.set()
        assert go_on.wait(60)
        return "ended"

    def cancel():
        cancelled.set()
        go_on.set()

    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(interruptible, call, cancel, reads=reads)
        assert begun.wait(60)
        stopping.stop()
        assert cancelled.is_set() is reads
        go_on.set()
        assert ending.result() == "ended"
        cancelled.clear()
        stopping.stop()
        assert not cancelled.is_set()
        if reads:
            with pytest.raises(InterruptedByUserError):
                pool.submit(interruptible, call, cancel, reads=reads).result()


@pytest.mark.usefixtures("going_on")
def test_a_thread_that_waits_for_postgresql_is_woken(mlflow_postgres_url):
    address = parse_address(mlflow_postgres_url)
    connection = postgresql.connect(address.libpq, "here")
    table = BY_NAME["metrics"]
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with closing(psycopg2.connect(Postgres.plain(mlflow_postgres_url))) as other:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(lambda: list(connection.read(table, table.columns)))
            while not rows(mlflow_postgres_url, waiting):
                assert not reading.done()
            # The lock is still held.
            stopping.stop()
            with pytest.raises(UnreachableError):
                reading.result(30)
    connection.close()


def test_a_statement_of_postgresql_is_an_interrupt_and_no_error_of_the_database(
    mlflow_postgres_url,
):
    """ADBC would cancel it and let it fail: "canceling statement due to user request"."""
    address = parse_address(mlflow_postgres_url)
    connection = postgresql.connect(address.libpq, "here")
    watcher = threading.Thread(target=interrupt_when_running, args=(mlflow_postgres_url,))
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        connection.rows("SELECT pg_sleep(60)")
    watcher.join()
    # It can still be used.
    assert connection.scalar("SELECT 1") == 1
    connection.close()


def interrupt_when_running(url):
    running = """SELECT 1 FROM pg_stat_activity WHERE state = 'active'
        AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"""
    while not rows(url, running):
        pass
    interrupt()


def test_an_ingest_ends_with_the_batch_at_which_it_was_interrupted(mlflow_sqlite):
    connection = sqlite.open_writer(mlflow_sqlite, "here")
    schema = pa.schema({"key": pa.string(), "value": pa.string()})
    given = []

    def batches():
        for number in count():  # for ever
            given.append(number)
            yield pa.record_batch({"key": [str(number)], "value": ["x"]}, schema=schema)
            if number == 3:
                interrupt()

    connection.execute("CREATE TABLE t (key TEXT, value TEXT)")
    connection.execute("BEGIN")
    with pytest.raises(KeyboardInterrupt):
        connection.ingest("t", schema, batches())
    connection.execute("ROLLBACK")
    connection.close()
    assert len(given) > 3
    assert rows(sqlite_url(mlflow_sqlite), "SELECT count(*) FROM t") == [(0,)]


def test_errors_of_the_database_stay_what_they_are(mlflow_sqlite):
    connection = sqlite.open_reader(mlflow_sqlite, "here")
    with pytest.raises(UnreachableError, match="no_such_table"):
        connection.rows("SELECT * FROM no_such_table")
    connection.close()
