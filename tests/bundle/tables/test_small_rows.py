from __future__ import annotations

import pyarrow as pa
import pytest

from mlporter.bundle.tables.small_rows import Again, Room

BATCH = pa.RecordBatch.from_pydict({"number": list(range(1_000))})


@pytest.fixture
def asked():
    """What reads rows, and how often it did."""
    times = []

    def read():
        times.append(1)
        yield from (BATCH, BATCH)

    read.times = times
    return read


def test_few_rows_are_read_once(asked):
    again = Again(asked, Room())
    for _ in range(3):
        assert [batch.num_rows for batch in again()] == [1_000, 1_000]
    assert len(asked.times) == 1


def test_what_was_not_taken_to_its_end_is_not_kept(asked):
    again = Again(asked, Room())
    next(again())
    assert len(list(again())) == 2
    assert len(asked.times) == 2


@pytest.mark.parametrize("sizes", [(10, 1), (1, 10)], ids=["of each", "of all"])
def test_many_rows_are_read_from_where_they_are(asked, sizes):
    room = Room(*(size * BATCH.nbytes for size in sizes))
    again = Again(asked, room)
    for _ in range(2):
        assert len(list(again())) == 2
    assert len(asked.times) == 2
    assert not again.is_few


def test_those_of_a_room_share_it(asked):
    room = Room(3 * BATCH.nbytes)
    first, second = Again(asked, room), Again(asked, room)
    for _ in range(2):
        for again in (first, second):
            assert len(list(again())) == 2
    assert (first.is_few, second.is_few) == (True, False)
    assert len(asked.times) == 3
