"""What is asked for, as options, as plain values and as objects."""

from __future__ import annotations

import shlex

import pytest

from mlporter.errors import UsageError
from mlporter.selection import Selection
from mlporter.selection.criteria import parse_time

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "end", "milliseconds"),
    [
        ("1970-01-02", False, DAY),
        ("1970-01-02", True, 2 * DAY - 1),
        ("1970-01-01T00:00:01", True, 1000),
        ("1970-01-01T00:00:01Z", False, 1000),
        ("1970-01-01 00:00", False, 0),
        ("1970-01-01T01:00:00+01:00", False, 0),
        ("1970-01-01T00:00:00.5Z", False, 500),
        ("1970-01-01T00:00:00.123456789Z", False, 123),
        ("1969-12-31T23:59:59.999", False, -1),
        ("2026-01-31", False, 1_769_817_600_000),
    ],
)
def test_times(text, end, milliseconds):
    assert parse_time(text, end=end) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-1-1", "12:00", "1e9", "2026"]
)
def test_what_is_no_time(text):
    with pytest.raises(UsageError, match="not a date or time"):
        parse_time(text)


EVERYTHING = Selection(
    experiments=("fraud*", "it's"),
    runs=("a", "b"),
    models=("churn-*",),
    versions=("latest", "@champion", "3"),
    since=0,
    until=DAY,
    filter="metrics.rmse < 0.1 AND params.a = 'b'",
    workspaces=("team-a",),
    exclude_deleted=True,
    only=("experiments", "models"),
    parents=False,
)


@pytest.mark.parametrize("selection", [EVERYTHING, Selection(), Selection(until=1)])
def test_words_say_it_all(selection):
    assert Selection.from_words(selection.words()) == selection


def test_options_are_those_of_the_command_line():
    found = shlex.split(EVERYTHING.options())
    assert found[:4] == ["--experiment", "fraud*", "--experiment", "it's"]
    assert "--only experiments,models" in EVERYTHING.options()
    assert found[-1] == "--no-parents"
    assert Selection().options() == ""


def test_many_names_are_counted_and_then_say_nothing_exact():
    words = Selection(runs=tuple(map(str, range(1000)))).words()
    assert words == {"run": "1000 of them"}
    with pytest.raises(UsageError):
        Selection.from_words(words)


@pytest.mark.parametrize(
    "words",
    [
        {"colour": ["red"]},
        {1: 2, "x": 3},
        {"run": "abc"},
        {"run": [1]},
        {"since": {}},
        {"only": ["bread"]},
        {"version": ["1"]},
        {"since": "2026-01-02", "until": "2026-01-01"},
        {"only": ["webhooks"], "experiment": ["a"]},
        {"only": ["runs"], "model": ["a"]},
    ],
)
def test_what_makes_no_sense_is_refused(words):
    with pytest.raises(UsageError):
        Selection.from_words(words)


def test_one_text_is_not_taken_for_many():
    with pytest.raises(UsageError, match="tuple of texts"):
        Selection(experiments="fraud")


@pytest.mark.parametrize(
    ("selection", "names", "narrows"),
    [
        (Selection(), False, False),
        (Selection(workspaces=("a",), exclude_deleted=True, only=("runs",)), False, False),
        (Selection(experiments=("a",)), True, False),
        (Selection(models=("a",)), True, False),
        (Selection(until=0), True, True),
        (Selection(filter="metrics.a > 1"), True, True),
    ],
)
def test_what_is_asked_for_by_name(selection, names, narrows):
    assert (selection.names, selection.narrows) == (names, narrows)
    assert selection.is_everything == (selection == Selection())
