"""Reading ahead gives the same items, errors included, and leaves nothing open."""

from __future__ import annotations

from contextlib import closing
from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from mlporter.artifacts.prefetch import Ahead, read_ahead
from mlporter.progress import silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.progress import OnProgress


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_same_items_in_the_same_order(count: int) -> None:
    assert list(read_ahead(iter(range(count)))) == list(range(count))


def test_the_next_is_fetched_while_the_one_before_is_worked_on() -> None:
    fetched = Event()

    def items() -> Iterator[int]:
        yield 1
        fetched.set()
        yield 2

    prefetched = read_ahead(items())
    assert next(prefetched) == 1
    assert fetched.wait(30)
    assert list(prefetched) == [2]


def test_the_first_is_fetched_by_the_caller() -> None:
    assert next(read_ahead(current_thread() for _ in "ab")) is current_thread()


def test_an_error_comes_where_it_belongs() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    prefetched = read_ahead(items())
    assert [next(prefetched), next(prefetched)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(prefetched)


def test_what_is_left_early_is_closed() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    prefetched = read_ahead(items())
    next(prefetched)
    prefetched.close()
    assert closed == [True]


# --- Something else, beside -----------------------------------------------------------------------


def test_what_is_begun_after_items_is_done_once_and_elsewhere() -> None:
    threads = []
    with closing(Ahead(lambda _: threads.append(current_thread()), silent)) as ahead:
        ahead.wait()
        assert not threads
        assert list(ahead.begin_after("ab")) == ["a", "b"]
        ahead.wait()
        ahead.finish()
    assert len(threads) == 1
    assert threads[0] is not current_thread()


def test_what_was_not_begun_is_done_when_it_is_needed_and_says_how_far_it_is() -> None:
    said = []
    with closing(Ahead(lambda say: say("step", 1, None), lambda *it: said.append(it))) as ahead:
        ahead.finish()
    assert said == [("step", 1, None)]


def test_what_it_raises_is_raised_to_who_waits_for_it() -> None:
    def fails(_: OnProgress) -> None:
        raise KeyError("lost")

    with closing(Ahead(fails, silent)) as ahead:
        list(ahead.begin_after(()))
        with pytest.raises(KeyError, match="lost"):
            ahead.finish()


@pytest.mark.timeout(60)
def test_what_nobody_wants_any_more_ends() -> None:
    begun = Event()

    def goes_on(say: OnProgress) -> None:
        while True:
            say("step", 0, None)
            begun.set()

    ahead = Ahead(goes_on, silent)
    list(ahead.begin_after(()))
    assert begun.wait(30)
    ahead.close()
