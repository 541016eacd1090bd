"""docs/cli.md documents every verb and option, and quotes `--help` as it is."""

import re
from pathlib import Path

import pytest

from mlporter.cli.app import VERBS
from mlporter.errors import ExitCode

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def section(verb):
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^## `mlporter {verb}`\n(.*?)(?=^## |\Z)", text)
    assert found, f"docs/cli.md has no section on {verb}"
    return found[1]


@pytest.mark.parametrize("verb", VERBS)
def test_a_section_quotes_the_help(mlporter, verb):
    text = mlporter(verb, "--help").out

    assert f"```text\n{text}```" in section(verb)


def test_no_section_on_anything_else():
    assert re.findall(r"(?m)^## `mlporter (\w+)`$", PAGE.read_text(encoding="utf-8")) == list(VERBS)


def test_every_exit_code_is_documented():
    rows = re.findall(r"(?m)^\| (\d+(?:, \d+)*) \|", PAGE.read_text(encoding="utf-8"))
    assert {int(code) for row in rows for code in row.split(", ")} == {int(c) for c in ExitCode}
