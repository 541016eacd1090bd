"""docs/troubleshooting.md quotes what mlporter really says, and reasons that it really gives."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from mlporter.errors import LeftOut

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@cache
def said() -> set[str]:
    """Every text in the package, with ``…`` for what is filled in."""
    found = set()
    for file in (ROOT / "src" / "mlporter").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                found.add(re.sub("…+", "…", "".join(map(str, parts))))
    return found


def is_said(quoted: str) -> bool:
    words = quoted.strip("… ")
    return any(quoted in text or words in text for text in said()) and len(words) > 5


def test_every_heading_is_in_the_source() -> None:
    headings = re.findall(r"(?m)^### `(.*)`$", PAGE)
    assert len(headings) > 30
    assert [one for one in headings if not is_said(one)] == []
    assert not is_said("there is no such thing as this message")


def test_every_reason_is_known() -> None:
    (table,) = re.findall(r"(?ms)^\| reason \|.*?\n\n", PAGE)
    reasons = re.findall(r"`([a-z-]+)`(?=[, |])", re.sub(r"(?m)\|[^|]*\|$", "|", table))
    known = {*re.findall(r"``([a-z-]+)``", LeftOut.__doc__ or ""), "conflict"}
    assert set(reasons) <= known
    assert len(reasons) > 6
