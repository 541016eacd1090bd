"""Latest metrics are rebuilt in the target: a source whose own ones say otherwise is told so."""

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import mlporter
from mlporter.compare.rows.latest_metrics import last_of_each_group
from tests.support.plain_registry import PlainRegistry


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 9))),
       st.lists(st.integers(0, 30)))  # fmt: skip
def test_the_last_row_of_each_group_whatever_the_batches(rows, cuts) -> None:
    rows = sorted(rows)
    expected = {(run, key): step for run, key, step in rows}
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    schema = pa.schema({"run_uuid": pa.string(), "key": pa.string(), "step": pa.int64()})
    found, pending = [], None
    for begin, end in pairwise(edges):
        columns = list(zip(*rows[begin:end], strict=True))
        batch = pa.RecordBatch.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
        )
        latest, pending = last_of_each_group(pending, batch)
        found += latest.to_pylist()
    found += pending.to_pylist() if pending is not None else []
    assert {(r["run_uuid"], r["key"]): r["step"] for r in found} == expected
    assert len(found) == len(expected)


def test_a_source_whose_latest_metrics_are_not_its_metrics(
    plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    path = plain_sqlite.tracking_uri.removeprefix("sqlite:///")
    assert mlporter.export(f"sqlite:///{path}", str(tmp_path / "sound")).exit_code == 0
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "UPDATE latest_metrics SET value = value + 1 WHERE rowid = "
            "(SELECT min(rowid) FROM latest_metrics)"
        )
        database.commit()
    result = mlporter.export(f"sqlite:///{path}", str(tmp_path / "edited"))
    assert result.exit_code == 3
    assert "1 latest metric of the source" in result.left_out.first[0].detail
