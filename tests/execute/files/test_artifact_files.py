"""Files on their way: in order whatever each takes, one that cannot be read stops nothing."""

from __future__ import annotations

import threading

import pytest

from mlporter.execute.files.artifact_files import (
    ChangingFileError,
    LocalWork,
    SourceFileError,
    process_files,
)
from mlporter.workers.threads import Threads

MEGABYTE = 1_000_000


def carried(items, carry, *, workers=4, size=lambda _: 10):
    """What was carried, and what could not be read with the reason."""
    unread = []
    done = list(
        process_files(
            items,
            LocalWork(carry),
            lambda item, why: unread.append((item, why)),
            pool=Threads(workers),
            size=size,
        )
    )
    return done, unread


def test_order_is_kept_when_small_and_large_files_alternate():
    def size(item):
        return 3 * MEGABYTE if item % 7 == 0 else 10

    items = list(range(500))
    done, unread = carried(items, lambda item: -item, size=size)
    assert done == [(item, -item) for item in items]
    assert unread == []


def test_small_files_that_are_quickly_done_need_no_other_thread():
    threads = set()

    def carry(_):
        threads.add(threading.current_thread())

    carried(range(300), carry)
    assert threads == {threading.current_thread()}


def test_large_files_are_carried_side_by_side():
    together = threading.Barrier(3, timeout=60)
    # Each waits for two others: it would break if they came one after another.
    done, _ = carried(
        range(9), lambda _: together.wait() >= 0, workers=3, size=lambda _: 2 * MEGABYTE
    )
    assert len(done) == 9


def test_small_files_of_a_slow_place_are_carried_side_by_side():
    together = threading.Barrier(2, timeout=60)
    seen = []

    def carry(item):
        seen.append(item)
        if item == 0:
            # The place shows that it is slow.
            threading.Event().wait(0.01)
        else:
            together.wait()

    done, _ = carried(range(9), carry, workers=2)
    assert [item for item, _ in done] == list(range(9))


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_cannot_be_read_is_named_and_the_rest_goes_on(large):
    def carry(item):
        if item % 10 == 3:
            raise SourceFileError(f"no {item}")
        return item

    done, unread = carried(range(40), carry, size=lambda _: 2 * MEGABYTE if large else 1)
    assert [item for item, _ in done] == [item for item in range(40) if item % 10 != 3]
    assert unread == [(item, f"no {item}") for item in (3, 13, 23, 33)]


def test_a_file_that_changes_is_read_again():
    attempts = []

    def carry(item):
        attempts.append(item)
        if len(attempts) < 3:
            raise ChangingFileError("somebody writes to it")
        return "read"

    assert carried(["log"], carry) == ([("log", "read")], [])
    assert attempts == ["log"] * 3


@pytest.mark.parametrize("large", [False, True])
def test_any_other_error_ends_it(large):
    def carry(item):
        if item == 5:
            raise RuntimeError("the target is full")
        return item

    with pytest.raises(RuntimeError, match="the target is full"):
        carried(range(20), carry, size=lambda _: 2 * MEGABYTE if large else 1)
