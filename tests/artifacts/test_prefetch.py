"""Reading ahead gives the same items, errors included, and leaves nothing open."""

from __future__ import annotations

from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from mlporter.artifacts import prefetch
from mlporter.artifacts.prefetch import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_the_same_items_in_the_same_order(count: int) -> None:
    assert list(read_ahead(iter(range(count)))) == list(range(count))


def test_the_next_is_fetched_while_the_one_before_is_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefetch, "_QUICK_SECONDS", 0)  # nothing is quicker
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


def test_what_is_quickly_fetched_is_fetched_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_QUICK_SECONDS", 60)
    assert set(read_ahead(current_thread() for _ in "abc")) == {current_thread()}


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
