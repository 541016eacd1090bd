"""The terminal, or what stands in for it: how wide it is, and whether colours are welcome."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, TextIO

from rich.console import Console

from mlporter.cli.render.layout import print_block

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

__all__ = ["WIDEST", "error_console", "print_now", "result_console", "room_for_rows"]

_NO_END_OF_ROOM = 1 << 12
"""Columns of what is not a terminal: a pipe or a file cuts nothing off."""
WIDEST = 120
"""Columns beyond which lines are hard to read; rows of tables may be wider."""


def result_console(width: int | None = None) -> Console:
    """A console on stdout, as wide as its terminal, or as asked for."""
    if width is None and not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        width = _NO_END_OF_ROOM
    return _console(sys.stdout, width)


def error_console(width: int | None = None) -> Console:
    """A console on stderr, as wide as its terminal, or as asked for."""
    return _console(sys.stderr, width)


def _console(file: TextIO, width: int | None) -> Console:
    """With colours where they are welcome: on a terminal, and without NO_COLOR."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(
        file=file,
        width=width,
        color_system=colours,
        highlight=False,
        markup=False,
        emoji=False,
    )


def room_for_rows(console: Console) -> int | None:
    """Columns that rows of a table may take; None where there is no end of room."""
    return console.width if console.width < _NO_END_OF_ROOM else None


def print_now(
    console: Console, blocks: Iterable[RenderableType], widest: int | None = WIDEST
) -> None:
    """Print blocks, in lines of that many columns at most, and let them be seen at once."""
    is_wide = widest is not None and widest < console.width < _NO_END_OF_ROOM
    for block in blocks:
        print_block(console, block, widest if is_wide else None)
    console.file.flush()
