"""The few shapes that all output is made of: headings, tables, lists and lines that never wrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlporter.cli.render.text import cut_middle, human_count, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

__all__ = ["BRIEF", "Cell", "Side", "View", "bullets", "columns", "facts", "heading", "number"]
__all__ += ["print_block", "wrapped"]


@dataclass(frozen=True, slots=True)
class View:
    """How much people want to see.

    Attributes:
        full: Every table, and more names (``-v``).
        explain: All that was left out or not compared, and why (``--explain``, or ``-v``).
        epoch: Times as the numbers that MLflow stores (``--epoch``).
        width: Columns of a line (``--width``); None for those of the terminal.
    """

    full: bool = False
    explain: bool = False
    epoch: bool = False
    width: int | None = None

    def named(self, few: int) -> int:
        """How many things of a list are named, where a few are enough for most people."""
        return few * _MORE if self.full else few


BRIEF = View()
"""What people see who ask for nothing more."""
_MORE = 10

Side = Literal["left", "right"]
"""Where the text of a column begins."""


def heading(text: str) -> Text:
    """A line above a block."""
    return Text(visible(text), style="bold")


def number(value: int) -> Text:
    """A count; zero is a faint dash, so that what is there stands out."""
    return Text(human_count(value)) if value else Text("-", style="dim")


_GAP = 2
_LEAST = 4

Cell: TypeAlias = "str | Text"
"""What is in a column: plain text that is made harmless, or text with a style."""


class _Columns:
    """See `columns`."""

    def __init__(
        self,
        names: Sequence[tuple[str, Side]],
        rows: Iterable[Sequence[Cell]],
        indent: int,
        whole: int,
    ) -> None:
        self._sides = [side for _, side in names]
        self._head = [Text(visible(name)) for name, _ in names]
        self._rows = [
            [Text(visible(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows
        ]
        self._indent = indent
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - self._indent - _GAP * (len(self._head) - 1)
        lines = [self._head, *self._rows]
        natural = [max(line[i].cell_len for line in lines) for i in range(len(self._head))]
        widths = [max(width, 1) for width in _fit(natural, room, self._whole)]
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold dim")
        for head, side, width in zip(self._head, self._sides, widths, strict=True):
            table.add_column(head, justify=side, width=width, no_wrap=True, overflow="ellipsis")
        for row in self._rows:
            table.add_row(*map(_cut, row, widths))
        yield Padding(table, (0, 0, 0, self._indent))


def _cut(cell: Text, width: int) -> Text:
    """A cell that fits."""
    if cell.cell_len <= width:
        return cell
    return Text(cut_middle(cell.plain, width), style=cell.style)


def _fit(widths: list[int], room: int, whole: int) -> list[int]:
    """Take from the widest until all have room, but leave each what is needed to say anything.

    The first `whole` columns give only where no other can.
    """
    widths = list(widths)
    for first in (whole, 0):
        while sum(widths) > room:
            widest = max(range(first, len(widths)), key=lambda index: widths[index])
            if widths[widest] <= _LEAST:
                break
            widths[widest] -= 1
    return widths


def columns(
    names: Sequence[tuple[str, Side]],
    rows: Iterable[Sequence[Cell]],
    *,
    indent: int = 2,
    whole: int = 0,
) -> RenderableType:
    """A table without lines. Where it is too wide, the widest columns lose their middle.

    Args:
        names: Of its columns, and on which side their texts begin.
        rows: Its cells.
        indent: Columns of the terminal before it.
        whole: How many of its first columns are not cut as long as others can be: ids, say.
    """
    return _Columns(names, rows, indent, whole)


def facts(pairs: Iterable[tuple[str, str]]) -> Padding:
    """Names and values below each other; long values wrap in their own column."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(visible(name)), Text(visible(value)))
    return Padding(grid, (0, 0, 0, 2))


def bullets(items: Iterable[tuple[str, str]], style: str = "") -> Padding:
    """A list; each item is a mark and a text that wraps beside it."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    for mark, text in items:
        grid.add_row(Text(mark), Text(visible(text)))
    return Padding(grid, (0, 0, 0, 2))


def wrapped(text: Text, hang: int = 2) -> RenderableType:
    """Text that goes on in lines of its own where it is too long, between words, indented."""
    return _Wrapped(text, hang)


class _Wrapped:
    """See `wrapped`."""

    def __init__(self, text: Text, hang: int) -> None:
        self._text = text
        self._hang = hang

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._text.split(allow_blank=True):
            first, *rest = line.wrap(console, options.max_width) or [line]
            yield first
            if rest:
                left = line[len(first.plain) :]
                left.plain = left.plain.lstrip()
                for more in left.wrap(console, options.max_width - self._hang):
                    yield Text.assemble(" " * self._hang, more)


def print_block(console: Console, block: RenderableType, width: int | None = None) -> None:
    """Print a block without the blanks that Rich fills its lines up with.

    Lines of text are never wrapped: who pipes them wants them whole.

    Args:
        console: Where to.
        block: What.
        width: Columns of a line; None for those of the console.
    """
    if isinstance(block, Group):
        for part in block.renderables:
            print_block(console, part, width)
        return
    if isinstance(block, Text):
        console.print(block, soft_wrap=True)
        return
    options = console.options if width is None else console.options.update_width(width)
    for segments in console.render_lines(block, options, pad=False):
        line = Text.assemble(*((s.text, s.style or "") for s in segments if not s.control))
        line.rstrip()
        console.print(line, soft_wrap=True)
