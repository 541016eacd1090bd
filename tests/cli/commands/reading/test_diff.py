import sqlite3
from dataclasses import replace

import pytest

from mlporter.compare.report import Difference
from tests.cli.examples import DIFFERENT, IDENTICAL


def test_differences(mlporter, fake, golden):
    fake("diff", DIFFERENT)

    finished = mlporter("diff", "sqlite:///dev.db", "backup")

    assert (finished.code, finished.err) == (1, "")
    golden("diff-lines", finished.out)


def test_no_difference(mlporter, fake, golden):
    fake("diff", IDENTICAL)

    finished = mlporter("diff", "sqlite:///dev.db", "backup")

    assert (finished.code, finished.err) == (0, "")
    golden("diff-identical", finished.out)


def test_quiet_says_only_that_something_differs(mlporter, fake):
    fake("diff", DIFFERENT)
    assert mlporter("diff", "a", "b", "-q").out == "Different: 3 rows and 1 file.\n"

    fake("diff", IDENTICAL)
    assert mlporter("diff", "a", "b", "-q").out == ""


@pytest.mark.parametrize("option", ["--explain", "-v"])
def test_what_is_not_compared_is_explained(mlporter, fake, option):
    fake("diff", IDENTICAL)

    out = mlporter("diff", "a", "b", option).out

    assert "  - What a server does not show: runs.a, runs.b.\n" in out
    assert "Not compared: " not in out


def test_values_that_do_not_fit_are_below_each_other(mlporter, fake):
    values = {"description": ("x " * 40, "y " * 40), "version": (1, 2)}
    one = Difference("model_versions", "*", {"name": "m", "version": 2}, values)
    fake("diff", replace(DIFFERENT, differences=[one]))

    out = mlporter("diff", "a", "b", "--width", "100").out

    assert '* model_versions  m/2\n    description\n      A  "x x' in out
    assert '\n      B  "y y' in out
    assert "    version: 1 → 2\n" in out


def test_times_are_dates_unless_numbers_are_asked_for(mlporter, fake):
    one = Difference("runs", "*", {"run_uuid": "r"}, {"end_time": (1_700_000_000_123, None)})
    fake("diff", replace(DIFFERENT, differences=[one]))

    assert "end_time: 2023-11-14T22:13:20.123Z → NULL" in mlporter("diff", "a", "b").out
    assert "end_time: 1700000000123 → NULL" in mlporter("diff", "a", "b", "--epoch").out


def test_passwords_in_values_are_hidden_and_escape_codes_shown(mlporter, fake):
    fake("diff", DIFFERENT)

    for options in ([], ["--json"]):
        text = mlporter("diff", "a", "b", *options).out
        assert "geheim" not in text
        assert "\x1b" not in text


def test_one_line_for_a_difference_found_in_a_real_registry(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    with sqlite3.connect(plain_sqlite.database_path) as database:
        database.execute("UPDATE model_versions SET current_stage = 'Archived' WHERE version = 2")
    database.close()

    finished = mlporter("diff", "backup", plain_sqlite.tracking_uri)

    assert finished.code == 1
    line = f"* model_versions  default/{plain_sqlite.model_name}/2  current_stage: Production → "
    assert [x for x in finished.out.splitlines() if x.startswith("*")] == [line + "Archived"]
    as_json = mlporter("diff", "backup", plain_sqlite.tracking_uri, "--json")
    assert as_json.json["exit_code"] == as_json.code == 1
    assert not as_json.json["identical"]
