"""Whose rows changed is found exactly, wherever they are and however the rows are cut."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.execute.bundle.changes import changed_owners

SCHEMA = pa.schema([("run", pa.string()), ("key", pa.int64()), ("value", pa.float64())])
VALUES = st.sampled_from([0.0, -0.0, 1.0, float("nan"), None])
ROWS = st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), VALUES)


def batches(rows, size):
    """Rows in the order of their key, so many in a batch."""
    found = [(run, key, value) for (run, key), value in sorted(rows.items())]
    for start in range(0, len(found), size):
        columns = zip(*found[start : start + size], strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def of(rows, run):
    return sorted((key, repr(value)) for (owner, key), value in rows.items() if owner == run)


@given(ROWS, ROWS, st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_all_that_differ_are_named_and_no_other(now, then, one, other, like):
    if like:  # mostly the same
        now = {**then, **dict(list(now.items())[:1])}
    expected = {run for run in "abcdef" if of(now, run) != of(then, run)}
    assert changed_owners(batches(now, one), batches(then, other), ("run",)) == expected


@pytest.mark.parametrize(("new", "found"), [(1_000, 1_000), (3_000, 3_000), (4_000, None)])
def test_owners_that_are_the_same_count_for_the_share_of_those_that_changed(new, found):
    then = {(f"{number:05}", 0): 1.0 for number in range(9_500)}
    now = {**then, **{(f"x{number:05}", 0): 1.0 for number in range(new)}}
    changed = changed_owners(batches(now, 700), batches(then, 900), ("run",))
    assert (changed if changed is None else len(changed)) == found
