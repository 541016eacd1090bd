from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlporter.catalogue.types import Kind
from mlporter.compare.report import TableCounts
from mlporter.compare.rows.streams import Merge, compare_streams
from mlporter.compare.rows.values import same_json
from mlporter.errors import BundleDamagedError
from tests.compare.memory_source import METRICS, MIXED, TAGS, batches, sort_key
from tests.support.examples import examples

# The last two sort the other way round in UTF-16, where astral characters are surrogates.
NAMES = ("", "a", "a\0", "aa", "b", "é", "\uffee", "\U0001f600")
DOCUMENTS = (None, '{"a": 1, "b": [1.5]}', '{"b":[1.50],"a":1}', '{"a": 1.0}', "{", "NaN", "[1]")
NUMBERS = st.sampled_from([None, math.nan, 0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324])

mixed_values = st.fixed_dictionaries(
    {
        "number": NUMBERS,
        "flag": st.sampled_from([None, True, False]),
        "blob": st.sampled_from([None, b"", b"\xff", b"a"]),
        "document": st.sampled_from(DOCUMENTS),
    }
)
mixed_rows = st.dictionaries(
    st.tuples(st.integers(-3, 30), st.sampled_from(NAMES)), mixed_values, max_size=40
)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def rows_of(values):
    return [{"id": i, "name": name, **rest} for (i, name), rest in values.items()]


def naive_equal(left, right, column, strict):
    if left is None or right is None:
        return left is right
    if isinstance(left, float):
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right and (not strict or math.copysign(1, left) == math.copysign(1, right))
    if column == "document" and not strict:
        documents = {DOCUMENTS[1], DOCUMENTS[2]}
        return left == right or {left, right} == documents
    return left == right


def naive(left, right, strict):
    """What a comparison must find: (sigil, key, columns) in the order of the key."""
    found = []
    for key in sorted({*left, *right}, key=lambda key: (key[0], key[1].encode())):
        if key not in right:
            found.append(("+", key, set()))
        elif key not in left:
            found.append(("-", key, set()))
        else:
            columns = {
                c for c in left[key] if not naive_equal(left[key][c], right[key][c], c, strict)
            }
            if columns:
                found.append(("*", key, columns))
    return found


def compare(table, left, right, left_sizes=None, right_sizes=None, **options):
    found = []
    counts = compare_streams(
        table,
        batches(table, left, left_sizes),
        batches(table, right, right_sizes),
        found.append,
        **options,
    )
    return counts, found


@given(mixed_rows, mixed_rows, st.booleans(), st.tuples(sizes, sizes), st.booleans())
def test_finds_what_a_naive_comparison_finds(left, changes, start_equal, cuts, strict):
    right = {**left, **changes} if start_equal else changes
    counts, found = compare(MIXED, rows_of(left), rows_of(right), *cuts, strict=strict)
    expected = naive(left, right, strict)
    got = [(d.sigil, (d.key["id"], d.key["name"]), set(d.columns)) for d in found]
    assert got == expected
    sigils = [sigil for sigil, _, _ in expected]
    assert counts == TableCounts(
        same=len({*left} & {*right}) - sigils.count("*"),
        only_left=sigils.count("+"),
        only_right=sigils.count("-"),
        differs=sigils.count("*"),
    )


@settings(max_examples=examples(40))
@given(st.data())
def test_finds_random_edits_in_long_streams(data):
    size = data.draw(st.integers(600, 3000))
    left = {i: {"id": i // 7, "name": f"n{i % 7}", "number": float(i)} for i in range(size)}
    edited = data.draw(st.dictionaries(st.integers(0, size), st.sampled_from("+-*"), max_size=30))
    right = dict(left)
    for i, edit in edited.items():
        if edit == "*" and i in left:
            right[i] = {**left[i], "number": -1.0}
        elif edit == "+":
            right.pop(i, None)
        elif edit == "-" and i in left:
            right[i + 0.5] = {**left[i], "name": left[i]["name"] + "x"}
    cuts = st.lists(st.integers(5, 900), min_size=1, max_size=4)
    counts, found = compare(
        MIXED, list(left.values()), list(right.values()), data.draw(cuts), data.draw(cuts)
    )
    assert counts.only_left == len(left.keys() - right.keys())
    assert counts.only_right == len(right.keys() - left.keys())
    assert counts.differs == sum(1 for i in left.keys() & right.keys() if left[i] != right[i])
    assert counts.same == len(left.keys() & right.keys()) - counts.differs
    keys = [sort_key(MIXED, d.key) for d in found]
    assert keys == sorted(keys)
    assert len(found) == counts.different


@given(mixed_rows, mixed_rows, st.integers(0, 5))
def test_a_limit_hands_over_the_first_and_counts_all(left, right, limit):
    counts, all_found = compare(MIXED, rows_of(left), rows_of(right))
    limited_counts, found = compare(MIXED, rows_of(left), rows_of(right), limit=limit)
    assert limited_counts == counts
    assert repr(found) == repr(all_found[:limit])  # repr: NaN is not equal to itself


def test_text_sorts_by_its_utf8_bytes():
    rows = [{"run_uuid": name, "key": "k", "value": "v"} for name in NAMES if name]
    assert [row["run_uuid"] for row in rows] == sorted(NAMES[1:], key=str.encode)
    assert compare(TAGS, rows, rows[:-1])[0] == TableCounts(same=6, only_left=1)
    assert compare(TAGS, rows[-1:], rows)[0] == TableCounts(same=1, only_right=6)


def metric(value, **others):
    return {"run_uuid": "r", "key": "k", "step": 0, "value": value, "is_nan": False, **others}


def test_nan_of_any_payload_in_a_key_is_one_value():
    payload = np.array([0x7FF8000000000001], dtype=np.int64).view(np.float64)[0]
    for strict in (False, True):
        counts, _ = compare(METRICS, [metric(math.nan)], [metric(payload)], strict=strict)
        assert counts == TableCounts(same=1)


def test_signed_zero_in_a_key_differs_only_if_strict():
    left, right = [metric(0.0)], [metric(-0.0)]
    assert compare(METRICS, left, right)[0] == TableCounts(same=1)
    counts, found = compare(METRICS, left, right, strict=True)
    assert counts == TableCounts(differs=1)
    assert repr(found[0].columns) == "{'value': (0.0, -0.0)}"


def test_floats_in_a_key_sort_as_numbers_with_nan_last():
    values = [-math.inf, -2.5, -1e-300, 0.0, 5e-324, 3.0, math.inf, math.nan]
    rows = [metric(value) for value in values]
    left = batches(METRICS, rows, sort=False)
    right = batches(METRICS, rows[1:], sort=False)
    assert compare_streams(METRICS, left, right, lambda _: None) == TableCounts(7, 1)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ([0, 2, 1, 3], "not sorted"),
        ([0, 1, 1, 2], "comes twice"),
        ([2, 3, 0, 1], "not sorted"),
        ([0, 1, 2, 2], "comes twice"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_refuses_a_stream_out_of_order(order, says, size, side):
    good = [{"run_uuid": "r", "key": f"k{i}", "value": "v"} for i in range(4)]
    bad = [good[i] for i in order]
    left = bad if side != "right" else good
    right = bad if side != "left" else good
    with pytest.raises(BundleDamagedError, match=says) as caught:
        compare_streams(
            TAGS,
            batches(TAGS, left, [size], sort=False),
            batches(TAGS, right, [size], sort=False),
            lambda _: None,
        )
    assert caught.value.subject == "tags"
    assert "run_uuid='r'" in str(caught.value)


def test_refuses_a_null_in_a_key():
    schema = pa.schema([("run_uuid", pa.string()), ("key", pa.string()), ("value", pa.string())])
    row = {"run_uuid": "r", "key": None, "value": "v"}
    batch = pa.RecordBatch.from_pylist([row], schema=schema)
    with pytest.raises(BundleDamagedError, match="NULL"):
        compare_streams(TAGS, iter([batch]), iter([]), lambda _: None)


def test_one_more_row_costs_one_block_and_not_the_rest():
    size, cut = 200_000, 8192
    rows = pa.RecordBatch.from_pydict(
        {
            "run_uuid": pa.array(["r"] * size),
            "key": pa.array(["k"] * size),
            "step": pa.array(range(size), pa.int64()),
            "value": pa.array(np.zeros(size)),
            "is_nan": pa.array(np.zeros(size, dtype=bool)),
        },
        schema=METRICS.schema,
    )

    def stream(without):
        whole = pa.Table.from_batches([rows.slice(0, without), rows.slice(without + 1)])
        return iter(whole.combine_chunks().to_batches(max_chunksize=cut))

    merge = Merge(METRICS, stream(777), stream(150_001), lambda _: None)
    steps = 0
    while merge.step():
        steps += 1
    assert merge.counts == TableCounts(size - 2, 1, 1)
    assert merge.matched_rows <= 4 * 512
    assert steps < 4 * size / cut


def test_everything_different_is_matched_in_ever_larger_blocks():
    size = 50_000
    schema = METRICS.schema
    columns = [
        pa.array(["r"] * size),
        pa.array(["k"] * size),
        pa.array(range(size), pa.int64()),
        pa.array(np.zeros(size)),
        pa.array(np.zeros(size, dtype=bool)),
    ]
    left = pa.RecordBatch.from_arrays(columns, schema=schema)
    columns[0] = pa.array(["s"] * size)
    right = pa.RecordBatch.from_arrays(columns, schema=schema)
    merge = Merge(METRICS, iter([left]), iter([right]), lambda _: None, limit=0)
    steps = 0
    while merge.step():
        steps += 1
    assert merge.counts == TableCounts(0, size, size)
    assert steps < 30


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('"\\u00e9"', '"é"', True),
        ("1e2", "100.0", True),
        ("1", "1.0", False),
        ("1", "true", False),
        ("[1, 2]", "[2, 1]", False),
        ("{", "{ ", False),
        ('{"a": 1, "a": 2}', '{"a":2}', False),
        ("NaN", " NaN", True),
        ("[" * 100_000, "[" * 100_001, False),
        ("1" * 5000, "1" * 5000 + " ", False),
        (None, "null", False),
    ],
)
def test_json_is_the_same_if_it_parses_the_same(left, right, same):
    assert same_json(left, right) is same


def test_long_texts_are_shown_where_they_begin_to_differ():
    left = {"run_uuid": "r", "key": "k", "value": "x" * 100_000 + "A" + "y" * 100_000}
    right = {**left, "value": "x" * 100_000 + "B" + "y" * 100_000}
    _, found = compare(TAGS, [left], [right])
    mine, theirs = found[0].columns["value"]
    assert "xA" in mine
    assert "xB" in theirs
    assert "of 200001" in mine
    assert len(mine) < 500


@pytest.mark.parametrize("before", ["", "x" * 390, "x" * 5000])
def test_passwords_in_uris_are_not_shown(before):
    row = {"run_uuid": "r", "key": "k", "value": before + " https://me:hunter2@host/a"}
    _, found = compare(TAGS, [row], [{**row, "value": before + " https://me:hunter3@host/b"}])
    assert "hunter" not in repr(found[0])
    assert "***" in repr(found[0])


def test_a_bytes_excerpt_is_hex():
    left = {"id": 1, "name": "n", "blob": b"a" * 1000}
    _, found = compare(MIXED, [left], [{**left, "blob": b"a" * 999 + b"b"}])
    assert found[0].columns["blob"][0] == "61" * 400 + " (bytes 600 to 1000 of 1000)"


ANY = replace(TAGS, kind=Kind.UNKNOWN, key=("key", "value"), columns=TAGS.columns[1:])
any_rows = st.lists(
    st.tuples(st.sampled_from([None, "", "a", "b"]), st.sampled_from([None, "", "c"])), max_size=30
)


def any_batches(rows, size):
    ordered = sorted(rows, key=lambda row: [(value is None, value or "") for value in row])
    dicts = [{"key": key, "value": value} for key, value in ordered]
    return batches(replace(ANY, key=()), dicts, [size], sort=False)


@given(any_rows, any_rows, st.integers(1, 9), st.integers(1, 9))
def test_rows_of_a_table_without_a_key_are_counted(left, right, left_size, right_size):
    found = []
    counts = compare_streams(
        ANY, any_batches(left, left_size), any_batches(right, right_size), found.append
    )
    mine, theirs = Counter(left), Counter(right)
    assert counts == TableCounts(
        same=(mine & theirs).total(),
        only_left=(mine - theirs).total(),
        only_right=(theirs - mine).total(),
    )
    for sigil, rows in (("+", mine - theirs), ("-", theirs - mine)):
        assert Counter(tuple(d.key.values()) for d in found if d.sigil == sigil) == rows


def test_a_difference_is_one_line_for_people():
    _, found = compare(TAGS, [{"run_uuid": "r", "key": "k", "value": "v"}], [])
    assert str(found[0]) == "+ tags: run_uuid='r', key='k'"
    _, found = compare(MIXED, [{"id": 1, "name": "n", "flag": True}], [{"id": 1, "name": "n"}])
    assert str(found[0]) == "* mixed: id=1, name='n': flag: True, None"
