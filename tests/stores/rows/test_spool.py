"""Kept rows come back as they were, from memory or from a file."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest

from mlporter.errors import UnreachableError
from mlporter.stores.rows import spool
from mlporter.stores.rows.spool import RowSpool

BATCHES = [pa.record_batch({"n": list(range(at, at + 1000))}) for at in range(0, 5000, 1000)]


@pytest.mark.parametrize("memory", [0, 10_000, 1 << 30])
def test_rows_come_back_as_often_as_they_are_asked_for(memory, monkeypatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", memory)
    with closing(RowSpool()) as rows:
        assert list(rows.watch(BATCHES)) == BATCHES
        assert rows.complete
        assert list(rows.read()) == BATCHES
        assert list(rows.read()) == BATCHES


def test_what_was_not_read_to_its_end_is_not_complete() -> None:
    with closing(RowSpool()) as rows:
        next(rows.watch(BATCHES))
        assert not rows.complete


def test_nothing() -> None:
    with closing(RowSpool()) as rows:
        assert list(rows.watch([])) == list(rows.read()) == []


def test_no_room(monkeypatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 0)
    # A device that is always full.
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "wb"))  # noqa: SIM115, PTH123
    with closing(RowSpool()) as rows, pytest.raises(UnreachableError, match="No space left"):
        list(rows.watch(BATCHES * 1000))
