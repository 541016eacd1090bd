"""What reports say, beside how it looks: verdicts, both values, gates, limits."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

import mlporter
from mlporter.compare.report import Difference, DiffReport, TableCounts
from mlporter.reports import limits
from mlporter.reports.page import Page, Section, Verdict, table
from mlporter.reports.pages.difference import difference_page
from mlporter.reports.rendering import render
from mlporter.reports.things import Beside
from mlporter.stores.protocols import Description
from tests.reports.conftest import ATTACK

SAMPLE = Path(__file__).parents[2] / "samples" / "bundle-format-1"


def words(page: str) -> str:
    """A page as it reads: without its marks."""
    body = page.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def read(reports: Path, name: str) -> str:
    return words((reports / f"{name}.html").read_text(encoding="utf-8"))


def test_diff_says_what_differs_in_what_with_both_values(reports: Path) -> None:
    text = read(reports, "diff")
    assert "differences in 2 runs" in text
    assert "runs status FINISHED FAILED" in text
    assert f"params lr value 0.0 {ATTACK}" in text
    assert "tags team only in A a not there" in text
    assert re.search(r"Points of .* 2 \d{4}-\d\d-\d\d \d\d:\d\d UTC 0.02 7.25", text)
    assert "A: from 0 to 0.02" in text  # the chart in words
    assert "B: from 0 to 7.25" in text


def test_identical_is_said_first(reports: Path) -> None:
    assert re.search(r"Identical [\d,]+ rows and files are the same\.", read(reports, "identical"))


def test_verify_says_what_was_checked_and_what_is_wrong(reports: Path) -> None:
    assert "Undamaged, and identical to the other place" in read(reports, "verify")
    assert "every byte, every row, every reference" in read(reports, "verify")
    text = read(reports, "damaged")
    assert "Damaged: 1 problem " in text
    assert "models.yaml" in text


def test_inspect_tells_experiments_models_and_sizes(reports: Path) -> None:
    text = read(reports, "inspect")
    assert "It holds 2 experiments, 4 runs, 1 registered model and 3 versions." in text
    assert "@champion → version 2" in text
    assert "Version 2 @champion Production READY" in text
    assert re.search(r"[\d.]+ kB in \d+ files", text)
    assert "Model signature" in text or "Signature of version 3" in text


def test_what_the_verdict_counts_the_tiles_count_too(tmp_path: Path) -> None:
    """With deleted runs, and with prompts, whose versions are not those of models."""
    page = tmp_path / "report.html"
    mlporter.inspect(SAMPLE, html=page)
    text = words(page.read_text(encoding="utf-8"))
    held = re.search(r"It holds ([^.]*)\.", text)
    assert held is not None
    counts = re.findall(r"(\d+) (\w+)", held[1])
    assert [name for _, name in counts] == ["experiments", "runs", "registered", "versions"]
    tiles = text[held.end() :].partition("traces")[0]
    for number, name in counts:
        assert re.search(rf"\b{number} {name}\b", tiles), (number, name, tiles)
    assert re.search(r"\b24 runs, 2 of them deleted\b", tiles)
    assert re.search(r"\b2 prompts with 4 versions\b", tiles)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("plan", "Would promote models:/plain-model/3 as models:/plain-model/2"),
        ("promote", "Promoted models:/plain-model/3 as models:/plain-model/2"),
        ("refused", "Refused: 1 gate is closed"),
    ],
)
def test_promote_judges_and_compares_with_the_champion(
    reports: Path, name: str, verdict: str
) -> None:
    text = read(reports, name)
    assert verdict in text
    assert "✓ passed metric metric 1 better than @champion" in text
    assert ("✗ closed size" in text) == (name == "refused")
    assert "The champion is models:/plain-model/1, by alias champion." in text
    assert "metric 1 0.12 1.12 -1" in text
    assert "Candidate: from 0.1 to 0.12" in text
    assert "Champion: from 1.1 to 1.12" in text
    if name != "refused":
        assert "@champion version 1 version 2" in text
    if name == "promote":
        assert "Digest of the files" in text
        assert "mlporter promote --undo" in text


def test_a_long_list_is_cut_and_says_so() -> None:
    rows = [(f"row {at}", at) for at in range(1000)]
    shown = table("Things", ["Name", "Number#"], rows, "things", most=3)
    assert shown is not None
    page = Page("diff", "x", Verdict("y"), sections=(Section("s", "S", (shown,)),))
    assert "Showing 3 of 1,000 things." in words(render(page, "now"))


def test_differences_beyond_the_limit_are_counted_and_the_page_stays_small() -> None:
    place = Description("a.db", "sqlite", "r", "snapshot")
    long: dict[str, tuple[object, object]] = {"value": ("a" * 8000, "b" * 8000)}
    named = [
        Difference("params", "*", {"run_uuid": f"{at:032}", "key": "k" * 250}, long)
        for at in range(3000)
    ]
    counts = {"params": TableCounts(same=1, differs=50_000)}
    page = difference_page(DiffReport(place, place, counts, named, 47_000), Beside())
    html = render(page, "now")
    assert page.verdict.text == "50,000 differences, the first 3,000 in 3,000 runs"
    assert f"Showing {limits.DIFFERENCES:,} of 50,000 differences." in words(html)
    assert len(html) < 3_000_000
