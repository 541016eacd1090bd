"""Small parts are decoded once, whatever columns are asked for, and large ones each time."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mlporter.bundle.documents.manifest import load_manifest
from mlporter.bundle.tables import small_parts
from mlporter.bundle.tables.read_parts import PartsInFolder
from mlporter.bundle.tables.small_parts import SmallParts


class Counted(PartsInFolder):
    """Counts how often the file of a part is opened."""

    opened = 0

    def open(self, part):
        self.opened += 1
        return super().open(part)


@pytest.fixture
def files(rich_bundle):
    return Counted(rich_bundle)


@pytest.fixture
def entry(rich_bundle):
    return load_manifest(rich_bundle).tables["params"]


def test_the_same_rows_come_again_without_opening_it(files, entry):
    table, parts = entry.table("params"), SmallParts(files)
    first = pa.Table.from_batches(parts.read(table, entry.parts))
    assert first.num_rows == entry.rows > 0
    values = pa.Table.from_batches(parts.read(table, entry.parts, ("value", "run_uuid")))
    assert values == first.select(["value", "run_uuid"])
    assert files.opened == len(entry.parts)


def test_what_is_not_read_to_its_end_is_not_taken_for_all(files, entry):
    table, parts = entry.table("params"), SmallParts(files)
    assert next(parts.read(table, entry.parts)).num_rows
    assert sum(batch.num_rows for batch in parts.read(table, entry.parts)) == entry.rows


@pytest.mark.parametrize("limit", ["_SMALL", "_ROOM"])
def test_no_more_is_kept_than_there_is_room_for(limit, files, entry, monkeypatch):
    monkeypatch.setattr(small_parts, limit, 10)
    table, parts = entry.table("params"), SmallParts(files)
    for times in (1, 2):
        assert sum(batch.num_rows for batch in parts.read(table, entry.parts)) == entry.rows
        assert files.opened == times * len(entry.parts)
