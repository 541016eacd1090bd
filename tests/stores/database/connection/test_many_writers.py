"""Rows that several connections write: all of them once, or the error that was the cause."""

import os
import signal
from concurrent.futures import CancelledError
from threading import Event

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlporter.stores.database.connection.many_writers import call_by_many, write_by_many

SCHEMA = pa.schema([("n", pa.int64())])


class Writer:
    """A connection that keeps what it is given; one that breaks does so at its first rows."""

    def __init__(self, *, breaks=False):
        self.rows = []
        self.breaks = breaks
        self.error = None

    def ingest(self, table, schema, batches):
        assert (table, schema) == ("t", SCHEMA)
        try:
            for batch in batches:
                self.look()
                self.rows += batch.column(0).to_pylist()
        except BaseException as error:
            self.error = error
            raise
        return len(self.rows)

    def look(self):
        if self.breaks:
            raise OSError("broken")


def batches(sizes):
    start = 0
    for size in sizes:
        yield pa.RecordBatch.from_arrays([pa.array(range(start, start + size))], schema=SCHEMA)
        start += size


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4))
def test_each_row_is_written_once(sizes, number):
    writers = [Writer() for _ in range(number)]
    stopped = []
    count = write_by_many(writers, "t", SCHEMA, batches(sizes), lambda: stopped.append(1))
    assert count == sum(sizes)
    assert sorted(n for writer in writers for n in writer.rows) == list(range(sum(sizes)))
    assert not stopped


def test_one_that_breaks_is_the_error_and_ends_the_others():
    writers = [Writer(), Writer(breaks=True), Writer()]
    with pytest.raises(OSError, match="broken"):
        write_by_many(writers, "t", SCHEMA, batches([1] * 100_000), lambda: None)
    for writer in (writers[0], writers[2]):
        assert isinstance(writer.error, CancelledError)


def test_rows_that_cannot_be_read_are_the_error():
    def failing():
        yield from batches([1, 1])
        raise ValueError("no more")

    writers = [Writer(), Writer()]
    with pytest.raises(ValueError, match="no more"):
        write_by_many(writers, "t", SCHEMA, failing(), lambda: None)
    assert all(isinstance(writer.error, CancelledError) for writer in writers)


def test_an_interrupt_stops_what_lasts():
    """Calls that would never end by themselves."""
    released = Event()

    def last():
        os.kill(os.getpid(), signal.SIGINT)
        released.wait()

    begun = []
    with pytest.raises(KeyboardInterrupt):
        call_by_many([last, lambda: begun.append(1)], 1, released.set)
    assert not begun


def test_one_that_fails_stops_the_others():
    released, refused = Event(), ValueError("refused")

    def fail():
        raise refused

    with pytest.raises(ValueError, match="refused"):
        call_by_many([released.wait, fail], 2, released.set)
    assert released.is_set()
