from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.bundle.tables.rows import (
    OrderCheck,
    distinct,
    first_change,
    joined,
    python_rows,
    row_sizes,
    slices,
)
from tests.support.memory import traced_peak

FLOATS = st.sampled_from([-math.inf, -1.0, 0.0, 1.5, math.inf, math.nan])
TEXTS = st.sampled_from(["", "A", "a", "ab", "é", "\uffff", "\U00010000"])
ROWS = st.lists(st.tuples(TEXTS, FLOATS, st.booleans() | st.none()), max_size=8)


def rank(row):
    """How the format orders rows, said once more in plain Python."""
    text, number, flag = row
    nan = math.isnan(number)
    return text.encode(), nan, 0 if nan else number, flag is None, flag or False


def batch(rows):
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    kinds = pa.string(), pa.float64(), pa.bool_()
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=["t", "n", "b"])


@given(ROWS, st.integers(0, 8))
def test_order_is_what_sorting_in_python_says(rows, cut):
    wrong = [i for i in range(1, len(rows)) if rank(rows[i - 1]) >= rank(rows[i])]
    check = OrderCheck(("t", "n", "b"))
    first, second = check.first_wrong(batch(rows[:cut])), check.first_wrong(batch(rows[cut:]))
    assert first == next((i for i in wrong if i < cut), None)
    assert second == next((i - len(rows[:cut]) for i in wrong if i >= len(rows[:cut])), None)


def test_without_a_key_nothing_is_out_of_order():
    assert OrderCheck(()).first_wrong(batch([("b", 0.0, None), ("a", 0.0, None)])) is None


@pytest.mark.parametrize(
    ("values", "previous", "expected"),
    [
        (["a", "a", "b"], ["a"], 2),
        (["a", "a"], ["b"], 0),
        (["a", "a"], ["a"], 2),
        ([None, None, "a"], [None], 2),
        ([], ["a"], 0),
        (["a", "b"], [], 1),
    ],
)
def test_first_change(values, previous, expected):
    kind = pa.string()
    assert first_change(pa.array(values, kind), pa.array(previous, kind)) == expected


def test_sizes_are_of_the_values_and_not_of_their_encoding():
    texts = pa.array(["ab", None, "é", "ab"])
    plain = pa.RecordBatch.from_arrays([texts, pa.array([1, 2, 3, None])], names=["t", "n"])
    coded = pa.RecordBatch.from_arrays([texts.dictionary_encode(), plain["n"]], names=["t", "n"])
    assert row_sizes(plain).to_pylist() == [14, 12, 14, 14]
    assert row_sizes(coded) == row_sizes(plain)


@pytest.mark.parametrize("few", [0, 500])
def test_distinct_rows_leave_nulls_out(few, monkeypatch):
    monkeypatch.setattr("mlporter.bundle.tables.rows._FEW", few)
    rows = [("a", 1.0, None), ("a", 1.0, True), ("a", 1.0, True), ("b", 1.0, False)]
    both = distinct(batch(rows), ("t", "b")).sort_by("t").to_pydict()
    assert both == {"t": ["a", "b"], "b": [True, False]}
    assert distinct(batch(rows), ("t",)).sort_by("t").to_pydict() == {"t": ["a", "b"]}


def test_batches_are_joined_as_they_are():
    first = pa.record_batch({"a": [1, None], "b": pa.array(["x", "y"]).dictionary_encode()})
    second = pa.record_batch({"a": [3], "b": pa.array(["z"]).dictionary_encode()})
    whole = joined([first, second.slice(0, 0), second])
    assert whole.schema == first.schema
    assert whole.to_pydict() == {"a": [1, None, 3], "b": ["x", "y", "z"]}
    assert joined([first.slice(1)]).num_rows == 1


def test_few_rows_are_python_values_at_a_time():
    numbers = range(16_384)
    texts = pa.array([f"{number:032d}" for number in numbers])
    found = pa.record_batch({"text": texts, "number": pa.array(numbers), "other": texts})
    rows = list(python_rows(found, ("number", "text")))
    assert rows == list(zip(numbers, texts.to_pylist(), strict=True))
    # All at once, they take 2 MB.
    assert traced_peak(lambda: sum(1 for _ in python_rows(found, ("number", "text")))) < 500_000


def test_slices_are_all_rows():
    found = pa.record_batch({"number": pa.array(range(10))})
    assert [some.num_rows for some in slices(found, 4)] == [4, 4, 2]
    assert pa.Table.from_batches(slices(found, 4))["number"].to_pylist() == list(range(10))
    assert not list(slices(found.slice(0, 0), 4))
