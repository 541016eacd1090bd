"""Metric files of every MLflow, and lines that no MLflow wrote."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.stores.filestore.notes import Notes, Spot
from mlporter.stores.filestore.runs.metrics import LARGEST, MetricTexts


def parse(*texts):
    """The points of one run's files, called a, b, …, and what was noted."""
    notes, metrics = Notes(), MetricTexts()
    for name, text in zip("abcdef", texts, strict=False):
        metrics.add("run", name, text, Spot(notes, "metrics", "run", f"1/run/metrics/{name}"))
    rows = metrics.batch().to_pylist()
    columns = ("key", "step", "timestamp", "value", "is_nan")
    return [tuple(row[name] for name in columns) for row in rows], notes.entries()


@pytest.mark.parametrize(
    ("line", "point"),
    [
        pytest.param(b"15 0.5\n", (0, 15, 0.5, False), id="two fields, before MLflow 1.0"),
        pytest.param(b"15 0.5 3\n", (3, 15, 0.5, False), id="three fields"),
        pytest.param(b"15 0.5 3", (3, 15, 0.5, False), id="no end of line"),
        pytest.param(b"15 0.5 3\r\n", (3, 15, 0.5, False), id="Windows"),
        pytest.param(b"15 0.5 3 run\n", (3, 15, 0.5, False), id="four fields"),
        pytest.param(b"15 0.5 3 data 0abc\n", (3, 15, 0.5, False), id="with a dataset"),
        pytest.param(b"15 0.5 3 \n", (3, 15, 0.5, False), id="a space at the end"),
        pytest.param(b"-5 1e-320 -3\n", (-3, -5, 1e-320, False), id="denormal and negative"),
        pytest.param(b"15 nan 3\n", (3, 15, 0.0, True), id="not a number"),
        pytest.param(b"15 inf 3\n", (3, 15, LARGEST, False), id="infinite"),
        pytest.param(b"15 -Infinity 3\n", (3, 15, -LARGEST, False), id="infinitely little"),
        pytest.param(b"15 1e999 3\n", (3, 15, LARGEST, False), id="too large for a float"),
        pytest.param(b"15 1_0.5 3\n", (3, 15, 10.5, False), id="what Python takes"),
    ],
)
def test_a_line_is_read_as_mlflow_reads_it(line, point):
    points, noted = parse(line)
    assert points == [("a", *point)]
    assert noted == ()


def test_a_point_is_as_python_reads_it_to_the_last_bit():
    points, _ = parse(b"1 0.1 0\n2 0.30000000000000004 1\n3 -0.0 2\n")
    assert [value for _, _, _, value, _ in points] == [0.1, 0.1 + 0.2, 0.0]
    assert math.copysign(1, points[2][3]) == -1


def test_points_are_sorted_by_step_and_time_and_none_is_dropped():
    points, _ = parse(b"9 1.0 5\n8 2.0 5\n1 0.5 9\n9 1.0 5\n", b"1 1 1\n")
    assert points == [
        ("a", 5, 8, 2.0, False),
        ("a", 5, 9, 1.0, False),
        ("a", 5, 9, 1.0, False),
        ("a", 9, 1, 0.5, False),
        ("b", 1, 1, 1.0, False),
    ]


def test_a_wrong_line_is_named_and_the_others_are_read():
    points, noted = parse(b"1 0.5 0\nrubbish\n2 0.25 1\n3 x 2\n", b"1 1 1\n")
    assert [point[:3] for point in points] == [("a", 0, 1), ("a", 1, 2), ("b", 1, 1)]
    (entry,) = noted
    assert (entry.kind, entry.id, entry.path, entry.reason, entry.expected) == (
        "metrics",
        "run",
        "1/run/metrics/a",
        "unreadable",
        False,
    )
    assert "line 2: 'rubbish' is not a point" in entry.detail
    assert "line 4: '3 x 2' is not a point" in entry.detail


def test_many_wrong_lines_are_counted():
    _, (entry,) = parse(b"rubbish\n" * 50)
    assert entry.detail.endswith("; and 47 more lines")


@pytest.mark.parametrize("text", [b"", b"\n", b"\r\n\r\n"])
def test_an_empty_file_has_no_points_and_loses_none(text):
    assert parse(text, b"1 1 1\n") == ([("b", 1, 1, 1.0, False)], ())


@pytest.mark.parametrize("text", [b"\x00\xff\xfe\x80", b"9" * 30 + b" 1 1\n", b"1.5 1 1\n", b"1\n"])
def test_junk_and_numbers_out_of_range_are_named(text):
    points, noted = parse(text)
    assert points == []
    assert [entry.reason for entry in noted] == ["unreadable"]


@given(st.lists(st.tuples(st.integers(-9, 9), st.floats(), st.integers(-9, 9)), max_size=30))
def test_the_fast_way_reads_what_the_slow_way_reads(rows):
    text = b"".join(f"{time} {value} {step}\n".encode() for time, value, step in rows)
    fast, _ = parse(text)
    slow, _ = parse(text + b"\n")  # an empty line makes it go line by line
    assert fast == slow
    assert len(fast) == len(rows)
