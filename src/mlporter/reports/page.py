"""What a report consists of, as plain data: a page of sections, each of a few kinds of blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlporter.reports.chart import Chart

__all__ = [
    "Block",
    "Card",
    "Cell",
    "Charts",
    "Column",
    "Facts",
    "Notes",
    "Page",
    "Paragraph",
    "Row",
    "Section",
    "Share",
    "Table",
    "Tile",
    "Tone",
    "Verdict",
    "limited",
    "table",
]

Tone: TypeAlias = Literal["", "good", "bad", "warn"]
"""How a thing is meant. It is said in words too: a colour alone tells nobody."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table that is not plain text."""

    text: str
    tone: Tone = ""
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """A value of a table that is drawn as a bar: a number from 0 to 1, and what it stands for."""

    text: str
    share: float


Row: TypeAlias = "tuple[str | int | Cell | Share, ...]"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it is called, and how its values look.

    Attributes:
        name: Its heading.
        style: ``number``, or ``short`` for words that stay on a line; else "".
    """

    name: str
    style: Literal["", "number", "short"] = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows; ``total`` is how many there are of them, ``noun`` what they are."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: int
    noun: str

    @property
    def shown(self) -> str:
        """A sentence on what is not shown; "" where all is."""
        return limited(len(self.rows), self.total, self.noun)


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts side by side, and a sentence on which of them are shown."""

    kind: ClassVar[str] = "charts"
    charts: tuple[Chart, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences; ``total`` is how many there are."""

    kind: ClassVar[str] = "notes"
    lines: tuple[str, ...]
    total: int
    noun: str = "lines"
    tone: Tone = ""

    @property
    def shown(self) -> str:
        """A sentence on what is not shown; "" where all is."""
        return limited(len(self.lines), self.total, self.noun)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """Blocks below a heading that opens and closes them."""

    kind: ClassVar[str] = "card"
    title: str
    blocks: tuple[Block, ...]
    aside: str = ""
    tone: Tone = ""
    is_open: bool = False


Block: TypeAlias = "Facts | Table | Charts | Notes | Paragraph | Card"


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the totals at the top."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole report in a sentence, and what else must be known at once."""

    text: str
    tone: Tone = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page, with a name of its own for links to it."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        verb: What made it.
        title: Its heading.
        verdict: Its first sentence.
        places: What it is about, by role: addresses, redacted.
        tiles: Totals.
        sections: The rest; those without blocks are left out.
    """

    verb: str
    title: str
    verdict: Verdict
    places: tuple[tuple[str, str], ...] = ()
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = field(default=())

    @property
    def filled(self) -> tuple[Section, ...]:
        """The sections that say something."""
        return tuple(section for section in self.sections if section.blocks)


def limited(shown: int, total: int, noun: str) -> str:
    """A sentence on what is not shown; "" where all is."""
    return f"Showing {shown:,} of {total:,} {noun}." if shown < total else ""


def table(  # noqa: PLR0913 -- two to four are given
    caption: str,
    names: Sequence[str],
    rows: Iterable[Row],
    noun: str,
    *,
    total: int | None = None,
    most: int | None = None,
) -> Table | None:
    """A table of rows, or None where there are none.

    A name that ends in ``#`` is of numbers, one that ends in ``!`` of short words.

    Args:
        caption: What it shows.
        names: Of its columns.
        rows: Those that there are.
        noun: What its rows are, in the plural.
        total: How many there are, where not all of them are given.
        most: How many are shown at most.
    """
    given = tuple(rows)
    shown = given if most is None else given[:most]
    if not shown:
        return None
    columns = tuple(_column(name) for name in names)
    return Table(caption, columns, shown, len(given) if total is None else total, noun)


def _column(name: str) -> Column:
    style: Literal["", "number", "short"] = ""
    if name.endswith("#"):
        style = "number"
    elif name.endswith("!"):
        style = "short"
    return Column(name.rstrip("#!"), style)
