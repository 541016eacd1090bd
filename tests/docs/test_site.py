"""docs/site/mkdocs.yml has every page, and pages are written so that MkDocs shows them as meant.

What else `mkdocs build --strict` finds (links, anchors, docstrings), CI says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def test_every_page_is_in_the_navigation_once() -> None:
    text = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"([\w/-]+\.md)$", text, re.MULTILINE)
    elsewhere = {"api.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    here = {one for one in named if not one.startswith("samples/")} - elsewhere
    assert here == {page.name for page in PAGES}
    assert len(named) == len(set(named))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lists_and_tables_stand_apart(page: Path) -> None:
    """GitHub shows a list right below a paragraph, or code in one; Python-Markdown does not."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    wrong = re.findall(r"(?m)^(?![-|\s]|\d+\. |<!--)\S.*\n(?:- |\d+\. |\|).*", text)
    nested = re.findall(r"(?m)^ {1,3}(?:- |\d+\. |```).*", text)
    assert wrong + nested == []
