"""docs/images/screen-*.svg: of the commands that are written down, whole, and of nobody else."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.screens import COLUMNS, IMAGES, SCREENS, lines_of

FILES = sorted(IMAGES.glob("screen-*.svg"))


def test_each_is_of_its_commands_and_shows_whole_lines() -> None:
    assert len(FILES) > 3
    for file in FILES:
        lines = lines_of(file.read_text(encoding="utf-8"))
        for command in SCREENS[file.stem.removeprefix("screen-")]:
            assert f"$ {command}" in " ".join(lines)
        assert 0 < max(map(len, lines)) <= COLUMNS


def test_each_is_small_for_light_and_dark_and_loads_nothing() -> None:
    for file in FILES:
        svg = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "prefers-color-scheme: dark" in svg
        assert re.findall(r"url\([^#)]*\)|href|@import|https?:|<script", svg) == []
        assert len(svg) < 30_000


def test_each_is_on_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in Path(IMAGES.parent).glob("*.md"))
    assert [file.name for file in FILES if f"](images/{file.name})" not in pages] == []
