"""Rows that are appended in any order come out as those of a database do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.stores.database.scratch_registry import ScratchRegistry
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_POINT = {"key": "loss", "step": 0, "timestamp": 5, "value": 0.25, "is_nan": False}


def _points(*runs: str) -> list[dict[str, object]]:
    return [{**_POINT, "run_uuid": run} for run in runs]


def test_rows_come_out_by_key_and_none_is_refused() -> None:
    with closing(ScratchRegistry("a store")) as scratch:
        assert scratch.append_rows("metrics", _points("b", "a")) == 2
        assert scratch.append_rows("metrics", _points("a")) == 1

        table = pa.Table.from_batches(scratch.reader.read("metrics"))

        assert table.column("run_uuid").to_pylist() == ["a", "a", "b"]
        assert table.schema == scratch.reader.by_name["metrics"].schema
        assert scratch.reader.count("metrics") == 3


def test_a_part_is_read_while_more_is_appended() -> None:
    with closing(ScratchRegistry("a store")) as scratch:
        scratch.append_rows("metrics", _points("a", "b"))
        rows = scratch.reader.read("metrics", ("run_uuid", "value"), Among("run_uuid", ("b",)))
        first = next(rows)
        scratch.append_rows("params", [{"run_uuid": "b", "key": "lr", "value": "1"}])

        assert first.to_pylist() == [{"run_uuid": "b", "value": 0.25}]
        assert scratch.reader.count("params") == 1


def test_rows_come_in_batches_as_large_as_from_mlflows_own_tables() -> None:
    with closing(ScratchRegistry("a store")) as scratch:
        scratch.append_rows("metrics", [{**_POINT, "run_uuid": "a", "step": n} for n in range(99)])

        assert [batch.num_rows for batch in scratch.reader.read("metrics")] == [99]


def test_nothing_of_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = ScratchRegistry("a store")
    assert list(tmp_path.iterdir())
    scratch.close()
    assert not list(tmp_path.iterdir())
