"""Line charts as numbers: where lines, ticks and labels are. A template makes SVG of it."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["HEIGHT", "NOTHING", "WIDTH", "Chart", "Line", "Tick", "line_chart", "short_number"]

WIDTH, HEIGHT = 400, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 12, 28
_TICKS = 4
_MOST = sys.float_info.max
NOTHING = "-"
"""What stands for a number that there is not."""
_STYLES = 6
"""As many lines can be told from each other: by colour, dashes and marks."""
_MARKED = 30
"""A line of fewer points shows each of them."""

Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its name, how it looks (0 to 5), its points on the picture, and its numbers."""

    name: str
    style: int
    path: str
    marks: tuple[tuple[float, float], ...]
    points: int
    first: str
    last: str
    least: str
    greatest: str
    odd: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: `title` names the metric, `text` says in words what is to be seen."""

    id: str
    title: str
    text: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plot."""
        return _LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class Series:
    """What a line is drawn of."""

    name: str
    points: Sequence[Point]
    count: int
    odd: int = 0


def line_chart(
    id_: str, title: str, series: Iterable[tuple[str, Sequence[Point], int, int]]
) -> Chart | None:
    """A chart of curves: name, points, how many there are, how many of these are no numbers.

    None where there is nothing to draw.
    """
    drawn = [Series(*one) for one in series]
    every = [point for one in drawn for point in one.points]
    if not every:
        return None
    steps = (min(x for x, _ in every), max(x for x, _ in every))
    low, high = min(y for _, y in every), max(y for _, y in every)
    if low == high:
        room = abs(low) / 10 or 0.5
        low, high = max(low - room, -_MOST), min(high + room, _MOST)
    lines = tuple(_line(at, one, steps, (low, high)) for at, one in enumerate(drawn))
    x_ticks = tuple(Tick(_across(step, steps), f"{step:,}") for step in _whole_ticks(*steps))
    y_ticks = tuple(
        Tick(_up(value, (low, high)), short_number(value)) for value in _ticks(low, high)
    )
    return Chart(id_, title, _in_words(title, lines, steps), lines, x_ticks, y_ticks)


def _line(at: int, one: Series, steps: tuple[int, int], values: tuple[float, float]) -> Line:
    placed = tuple((_across(x, steps), _up(y, values)) for x, y in one.points)
    found = [y for _, y in one.points]
    numbers = (found[0], found[-1], min(found), max(found)) if found else ()
    first, last, least, greatest = map(short_number, numbers) if numbers else (NOTHING,) * 4
    return Line(
        one.name,
        at % _STYLES,
        " ".join(f"{x:g},{y:g}" for x, y in placed),
        placed if len(placed) <= _MARKED else (),
        one.count,
        first,
        last,
        least,
        greatest,
        one.odd,
    )


def _in_words(title: str, lines: tuple[Line, ...], steps: tuple[int, int]) -> str:
    said = [
        f"{line.name}: from {line.first} to {line.last}, "
        f"least {line.least}, greatest {line.greatest}"
        for line in lines
        if line.path
    ]
    return f"{title}, steps {steps[0]:,} to {steps[1]:,}. {'; '.join(said)}."


def _across(step: int, steps: tuple[int, int]) -> float:
    first, last = steps
    share = (step - first) / (last - first) if last > first else 0.5
    return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)


def _up(value: float, values: tuple[float, float]) -> float:
    low, high = values
    # The difference of two floats may be more than a float holds; half of a tiny one is none.
    part = 1.0 if math.isfinite(high - low) else 0.5
    share = (value * part - low * part) / (high * part - low * part)
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)


def _ticks(low: float, high: float) -> list[float]:
    # Not from their difference, which may be more than a float holds.
    shares = (at / _TICKS for at in range(_TICKS + 1))
    return [low * (1 - share) + high * share for share in shares]


def _whole_ticks(first: int, last: int) -> list[int]:
    if last <= first:
        return [first]
    wanted = min(_TICKS, last - first)
    return sorted({first + (last - first) * at // wanted for at in range(wanted + 1)})


def short_number(value: float) -> str:
    """A number as people compare it: four digits that count.

    >>> short_number(0.123456), short_number(1234567.0), short_number(3.0), short_number(-0.0)
    ('0.1235', '1.235e+06', '3', '0')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    return f"{value:.4g}" if value else "0"
