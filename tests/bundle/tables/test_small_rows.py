from __future__ import annotations

import pyarrow as pa
import pytest

from mlporter.bundle.tables import layers, small_rows
from mlporter.bundle.tables.read_parts import PartsInFolder, _most_bytes
from mlporter.bundle.tables.rows import row_sizes
from mlporter.bundle.tables.small_rows import Again, Room
from mlporter.stores.bundles.bundle_source import BundleSource
from tests.bundle.making import make_bundle

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
    again = Again(asked)
    for _ in range(3):
        assert [batch.num_rows for batch in again()] == [1_000, 1_000]
    assert len(asked.times) == 1


def test_what_was_not_taken_to_its_end_is_not_kept(asked):
    again = Again(asked)
    next(again())
    assert len(list(again())) == 2
    assert len(asked.times) == 2


@pytest.mark.parametrize("limit", ["_EACH", "room"])
def test_many_rows_are_read_from_where_they_are(asked, limit, monkeypatch):
    room = Room(BATCH.nbytes if limit == "room" else 10 * BATCH.nbytes)
    if limit == "_EACH":
        monkeypatch.setattr(small_rows, "_EACH", BATCH.nbytes)
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


def test_a_small_part_of_a_bundle_is_decoded_once(tmp_path, monkeypatch):
    opened = []
    really = PartsInFolder.open
    monkeypatch.setattr(
        PartsInFolder, "open", lambda self, part: (opened.append(part.path), really(self, part))[1]
    )
    bundle = make_bundle(tmp_path / "bundle")
    opened.clear()
    source = BundleSource(bundle)
    whole = [row for batch in source.read("metrics") for row in batch.to_pylist()]
    some = [row for batch in source.read("metrics", ("step",)) for row in batch.to_pylist()]
    assert some == [{"step": row["step"]} for row in whole]
    assert len(opened) == 1
    monkeypatch.setattr(layers, "_SMALL", 0)
    assert sum(batch.num_rows for batch in BundleSource(bundle).read("metrics")) == len(whole)
    assert len(opened) == 2


def test_nothing_is_larger_than_it_is_taken_for():
    texts = pa.array(["a", "", None, "bcd", "a"]).dictionary_encode()
    batch = pa.RecordBatch.from_pydict({"text": texts, "number": [1, None, 3, 4, 5]})
    assert sum(row_sizes(batch).to_pylist()) <= _most_bytes(batch)
