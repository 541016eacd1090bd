"""Points that are counted as they go by are as many as there are, however they are cut."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlporter.execute.bundle.point_marks import PointsSeen

SCHEMA = pa.schema([("key", pa.string()), ("run_uuid", pa.string())])


@given(st.lists(st.sampled_from("abcde")), st.integers(1, 4))
def test_points_are_counted_by_run(runs, size):
    runs.sort()
    seen = PointsSeen()
    for start in range(0, len(runs) + 1, size):  # the last one may be empty
        some = runs[start : start + size]
        columns = [pa.array(["m"] * len(some), pa.string()), pa.array(some, pa.string())]
        seen.take(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    rows = [tuple(row.values()) for batch in seen.counts() for row in batch.to_pylist()]
    assert rows == sorted(Counter(runs).items())
