"""Rows that are appended in any order come out as those of a database do."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa

from mlporter.stores.database.scratch_registry import Spool
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_POINT = {"key": "loss", "step": 0, "timestamp": 5, "value": 0.25, "is_nan": False}


def _points(*runs: str) -> list[dict[str, object]]:
    return [{**_POINT, "run_uuid": run} for run in runs]


def test_rows_come_out_by_key_and_none_is_refused() -> None:
    with closing(Spool("a store")) as spool:
        assert spool.append_rows("metrics", _points("b", "a")) == 2
        assert spool.append_rows("metrics", _points("a")) == 1

        table = pa.Table.from_batches(spool.reader.read("metrics"))

        assert table.column("run_uuid").to_pylist() == ["a", "a", "b"]
        assert table.schema == spool.reader.by_name["metrics"].schema
        assert spool.reader.count("metrics") == 3


def test_a_part_is_read_while_more_is_appended() -> None:
    with closing(Spool("a store")) as spool:
        spool.append_rows("metrics", _points("a", "b"))
        rows = spool.reader.read("metrics", ("run_uuid", "value"), Among("run_uuid", ("b",)))
        first = next(rows)
        spool.append_rows("params", [{"run_uuid": "b", "key": "lr", "value": "1"}])

        assert first.to_pylist() == [{"run_uuid": "b", "value": 0.25}]
        assert spool.reader.count("params") == 1


def test_nothing_of_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool("a store")
    assert list(tmp_path.iterdir())
    spool.close()
    assert not list(tmp_path.iterdir())
