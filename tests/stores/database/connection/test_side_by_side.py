"""Statements that several connections read at a time, in order: with numbers for connections."""

import threading
from concurrent.futures import CancelledError
from contextlib import closing
from threading import Event

import pytest

from mlporter.stores.database.connection.side_by_side import SideBySide

WAIT = 60
"""Seconds after which a test gives up; none is ever waited for."""


def read_all(statements, connections, read):
    return [*SideBySide(statements, range(connections), read).rows()]


@pytest.mark.parametrize("connections", [1, 2, 3, 20])
def test_rows_come_in_the_order_of_the_statements(connections):
    found = read_all(range(10), connections, lambda _, s: iter([(s, 0), (s, 1), (s, 2)]))
    assert found == [(statement, row) for statement in range(10) for row in range(3)]


def test_a_later_statement_is_read_meanwhile():
    second = Event()

    def read(_, statement):
        if statement == 0:
            assert second.wait(WAIT)
        yield statement
        if statement == 1:
            second.set()

    assert read_all(range(4), 2, read) == [0, 1, 2, 3]


def test_what_is_held_is_bounded_by_connections():
    """However long a statement is, and however many there are."""
    given = 0

    def read(_, statement):
        nonlocal given
        for row in range(100):
            given += 1
            yield statement, row

    taken = 0
    for _ in SideBySide(range(50), range(2), read).rows():
        taken += 1
        # Of three statements two batches wait, and one more of each of two connections.
        assert given <= taken + 3 * 2 + 2
    assert taken == 5000


def test_no_more_statements_are_taken_than_are_read_and_one():
    taken = 0

    def statements():
        nonlocal taken
        for statement in range(20):
            taken += 1
            yield statement

    found = 0
    for _ in SideBySide(statements(), range(3), lambda _, s: iter([s])).rows():
        found += 1
        assert taken <= found + 3
    assert found == 20


def test_what_fails_is_raised_in_its_place():
    def read(_, statement):
        yield statement
        if statement == 2:
            raise ConnectionError("gone")

    found = SideBySide(range(9), range(3), read).rows()
    assert [next(found), next(found), next(found)] == [0, 1, 2]
    with pytest.raises(ConnectionError, match="gone"):
        next(found)
    assert threads() == []


def test_statements_that_fail_are_raised():
    def statements():
        yield 0
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        read_all(statements(), 2, lambda _, s: iter([s]))
    assert threads() == []


def endless(_, statement):
    while True:
        yield statement


def test_nothing_goes_on_when_nobody_takes_rows_any_more():
    with closing(SideBySide(range(9), range(3), endless).rows()) as found:
        assert next(found) == 0
        assert len(threads()) == 3
    assert threads() == []


def test_rows_that_were_not_taken_when_it_was_closed_are_missed():
    """A part is never taken for all: neither of a statement nor of them all."""
    for statements, read in ((range(9), endless), (range(9), lambda _, s: iter([s, s]))):
        reading = SideBySide(statements, range(3), read)
        found = reading.rows()
        assert next(found) == 0
        reading.close()
        assert threads() == []
        with pytest.raises(CancelledError):
            list(found)


def threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("mlporter-sections")]
