"""What `verify` found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.difference import render_diff
from mlporter.cli.render.layout import bullets, heading
from mlporter.cli.text import human_bytes, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.transfer.proof import VerifyResult

__all__ = ["render_verdict", "render_verification"]

_NAMED = 50


def render_verification(result: VerifyResult) -> Iterator[RenderableType]:
    """What was checked, every finding, the comparison if there was one, and the verdict."""
    check = result.check
    yield heading(f"Verified {check.path}")
    yield from ()
    if result.diff is not None:
        yield Text()
        yield from render_diff(result.diff)
    yield Text()
    yield render_verdict(result)


def render_verdict(result: VerifyResult) -> Text:
    """The last line."""
    return Text("")
