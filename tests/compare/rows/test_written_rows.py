from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mlporter.compare.rows.written_rows import same_rows
from mlporter.errors import BundleDamagedError
from tests.compare.memory_source import METRICS, MIXED, TAGS, batches

ROWS = [{"run_uuid": f"r{i}", "key": "k", "value": f"v{i}"} for i in range(9)]


def check(table, expected, actual, **options):
    return same_rows(table, batches(table, expected), batches(table, actual, [2]), **options)


def test_the_same_rows_in_other_batches_are_the_same():
    assert check(TAGS, ROWS, ROWS) is None
    assert check(TAGS, [], []) is None


def test_names_the_first_difference():
    actual = [*ROWS[:4], {**ROWS[4], "value": "V"}, *ROWS[6:]]
    found = check(TAGS, ROWS, actual)
    assert (found.sigil, found.key, found.columns) == (
        "*",
        {"run_uuid": "r4", "key": "k"},
        {"value": ("v4", "V")},
    )
    assert check(TAGS, ROWS, ROWS[:-1]).sigil == "+"
    assert check(TAGS, ROWS[1:], ROWS).sigil == "-"


def test_what_was_sent_is_sorted_even_if_the_same_is_there():
    mixed = [list(batches(TAGS, ROWS[::-1], sort=False)) for _ in range(2)]
    with pytest.raises(BundleDamagedError, match="not sorted"):
        same_rows(TAGS, *map(iter, mixed))


def test_rows_that_repeat_are_counted_from_where_there_is_a_difference():
    point = {"run_uuid": "r", "key": "k", "step": 0, "value": 1.0, "is_nan": False}
    later = {**point, "step": 1}
    alike = replace(METRICS, repeats=True)
    assert check(alike, [point] * 7, [point] * 7) is None
    assert check(alike, [*[point] * 7, later], [*[point] * 6, later]).sigil == "+"
    assert check(alike, [*[point] * 6, later], [*[point] * 7, later]).sigil == "-"


def test_stops_reading_at_the_first_difference():
    def endless():
        number = 0
        while True:
            number += 1
            yield from batches(TAGS, [{"run_uuid": f"{number:09}", "key": "k", "value": "v"}])

    expected = [{"run_uuid": f"{n:09}", "key": "k", "value": "w"} for n in range(1, 5)]
    assert same_rows(TAGS, batches(TAGS, expected), endless()).sigil == "*"


def test_json_is_text_and_nan_is_one_value():
    row = {"id": 1, "name": "n", "number": math.nan, "document": "[1]"}
    assert check(MIXED, [row], [row]) is None
    assert check(MIXED, [row], [{**row, "document": "[ 1]"}]).columns.keys() == {"document"}
    assert check(MIXED, [row], [{**row, "document": "[ 1]"}], signed_zeros=False) is not None


def test_the_sign_of_zero_counts_unless_the_target_keeps_none():
    rows = [{"run_uuid": "r", "key": "k", "step": 0, "value": -0.0, "is_nan": False}]
    back = [{**rows[0], "value": 0.0}]
    assert check(METRICS, rows, back).columns.keys() == {"value"}
    assert check(METRICS, rows, back, signed_zeros=False) is None
