"""Reports in a real browser: nothing runs, nothing is fetched, and everybody can read them.

axe-core, the checker of accessibility that browsers' own tools are built on, judges the pages.
"""

from __future__ import annotations

from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.reports.conftest import ATTACK, BREAKOUT, PASSWORD
from tests.support.browser import chromium, running_browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Browser

PAGES = ("inspect", "diff", "verify", "promote", "plan", "refused", "damaged", "identical", "many")
PHONE = 360
AXE = (
    "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']}).then(found =>"
    " found.violations.map(one => one.id + ': ' + one.nodes.slice(0, 3).map(n => n.html)))"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with running_browser(program) as running:
        yield running


def widths(visit: Any) -> tuple[int, int]:
    wide, window = visit.run("[document.documentElement.scrollWidth, window.innerWidth]")
    return wide, window


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_nothing_is_fetched_and_nothing_sticks_out(
    browser: Browser, reports: Path, name: str
) -> None:
    with browser.open(reports / f"{name}.html", width=PHONE) as visit:
        visit.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert visit.requests == []
        assert visit.complaints == []
        assert visit.run("document.title").endswith(f"· mlporter {verb_of(name)}")
        bad = "script, img, iframe, object, embed, link, form, base, [style], a:not([href^='#'])"
        assert visit.run(f'document.querySelectorAll("{bad}").length') == 0
        handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        assert visit.run(f"{handlers}.filter(name => name.startsWith('on'))") == []
        wide, window = widths(visit)
        assert wide <= window == PHONE


def verb_of(name: str) -> str:
    verbs = {"plan": "promote", "refused": "promote", "damaged": "verify", "identical": "diff"}
    return verbs.get(name, "inspect" if name == "many" else name)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["inspect", "diff", "promote", "refused"])
def test_a_screen_reader_and_a_weak_eye_can_read_them(
    browser: Browser, reports: Path, name: str, dark: bool
) -> None:
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    with browser.open(reports / f"{name}.html", dark=dark) as visit:
        visit.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        visit.run(f"{axe}; 0")
        assert visit.run(AXE) == []
        headings = visit.run(
            "[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(h => +h.tagName[1])"
        )
        steps = pairwise(headings)
        assert headings.count(1) == 1
        assert all(after <= before + 1 for before, after in steps)


def test_a_name_is_shown_as_it_is(browser: Browser, reports: Path) -> None:
    with browser.open(reports / "inspect.html") as visit:
        text = visit.run("document.body.textContent")
        assert ATTACK in text
        assert BREAKOUT in text
        assert PASSWORD not in text
        assert "postgresql://me:***@host/db" in text
        assert "turned \\u202e around" in text  # it would turn what follows
        assert "…" in text
        assert visit.run("[...document.querySelectorAll('svg title')].map(t => t.textContent)")
        values = visit.run("document.querySelectorAll('svg.chart polyline').length")
        assert values >= 2


def test_the_keyboard_is_enough(browser: Browser, reports: Path) -> None:
    with browser.open(reports / "diff.html") as visit:
        visit.press("Tab")
        assert visit.run("document.activeElement.className") == "skip"
        assert visit.run("document.activeElement.getBoundingClientRect().left >= 0")
        visit.press("Enter")
        assert visit.run("location.hash") == "#main"
        # From the links behind it on to the first heading that opens and closes.
        for _ in range(20):
            visit.press("Tab")
            if visit.run("document.activeElement.tagName") == "SUMMARY":
                break
        assert visit.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        before = visit.run("document.activeElement.parentElement.open")
        visit.press("Enter")
        assert visit.run("document.activeElement.parentElement.open") != before


def test_the_dark_is_dark_and_paper_is_white_and_whole(browser: Browser, reports: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with browser.open(reports / "inspect.html", dark=True) as visit:
        red, green, blue = map(int, visit.run(paper)[4:-1].split(","))
        assert max(red, green, blue) < 60
        visit.media(dark=True, paper=True)
        assert visit.run(paper) == "rgb(255, 255, 255)"
        closed = "document.querySelector('details.card:not([open]) table').checkVisibility"
        visible = f"{closed}({{contentVisibilityAuto: true, visibilityProperty: true}})"
        assert visit.run(visible)
        assert visit.run("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert visit.printed().startswith(b"%PDF")


def test_ten_thousand_runs_open_fast(browser: Browser, reports: Path) -> None:
    page = reports / "many.html"
    assert page.stat().st_size < 500_000
    with browser.open(page) as visit:
        assert "Showing 200 of 10,000 runs." in visit.run("document.body.textContent")
        loaded = "performance.getEntriesByType('navigation')[0].domComplete"
        assert visit.run(loaded) < 5000
