"""Metric histories of some runs, thinned while they stream by, so that memory does not grow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlporter.reports.limits import POINTS
from mlporter.stores.protocols import Among

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["Curve", "Histories", "read_curves", "thinned"]

_COLUMNS = ("run_uuid", "key", "step", "value", "is_nan")
_MOST_ROWS = 2_000_000
"""Points that are read for one report; a chart is not worth more time."""
_MOST_CURVES = 1000
_INFINITE = 1.79e308
"""MLflow stores infinities as the largest numbers that there are."""

Point = tuple[int, float]


@dataclass
class Curve:
    """The history of one metric of one run.

    Attributes:
        points: Step and value, by step; of many the extremes of each stretch.
        count: How many there are.
        odd: How many of them are no finite numbers, and cannot be drawn.
        last: The last value.
    """

    points: list[Point] = field(default_factory=list)
    count: int = 0
    odd: int = 0
    last: float = math.nan

    def add(self, step: int, value: float) -> None:
        """Take the next point."""
        self.count += 1
        self.last = value
        if not math.isfinite(value) or abs(value) >= _INFINITE:
            self.odd += 1
            return
        self.points.append((step, value))
        if len(self.points) >= 8 * POINTS:
            self.points = thinned(self.points, 2 * POINTS)

    def drawn(self) -> list[Point]:
        """The points that are drawn."""
        return thinned(self.points, POINTS)


@dataclass(frozen=True)
class Histories:
    """Curves by run and metric; ``unread`` are runs whose points were too many to be read."""

    curves: Mapping[tuple[str, str], Curve]
    unread: frozenset[str] = frozenset()

    def of_run(self, run: str) -> Iterator[tuple[str, Curve]]:
        """The metrics of a run."""
        return ((key, curve) for (owner, key), curve in self.curves.items() if owner == run)


def read_curves(source: TableReader, runs: Iterable[str]) -> Histories:
    """The histories of the metrics of some runs."""
    asked = tuple(sorted(set(runs), key=str.encode))
    curves: dict[tuple[str, str], Curve] = {}
    if not asked or not any(table.name == "metrics" for table in source.tables):
        return Histories(curves)
    rows = 0
    for batch in source.read("metrics", _COLUMNS, Among("run_uuid", asked)):
        columns = (batch.column(name).to_pylist() for name in _COLUMNS)
        for run, key, step, value, is_nan in zip(*columns, strict=True):
            curve = curves.get((run, key))
            if curve is None:
                if len(curves) >= _MOST_CURVES:
                    return _cut_short(curves, asked, run)
                curve = curves[run, key] = Curve()
            curve.add(step, math.nan if is_nan else value)
        rows += batch.num_rows
        if rows > _MOST_ROWS:
            return _cut_short(curves, asked, run)
    return Histories(curves)


def _cut_short(
    curves: Mapping[tuple[str, str], Curve], asked: tuple[str, ...], run: str
) -> Histories:
    """What was read before a run that may be incomplete: runs come in order."""
    unread = frozenset(asked[asked.index(run) :])
    return Histories({key: c for key, c in curves.items() if key[0] not in unread}, unread)


def thinned(points: list[Point], most: int) -> list[Point]:
    """At most so many points (but for the ends), with the least and the greatest of each stretch.

    >>> thinned([(0, 1.0), (1, 9.0), (2, 1.0), (3, 2.0), (4, 0.0), (5, 2.0)], 4)
    [(0, 1.0), (1, 9.0), (4, 0.0), (5, 2.0)]
    """
    if len(points) <= most:
        return points
    stretches = max(1, most // 2)
    size = math.ceil(len(points) / stretches)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        stretch = range(start, min(start + size, len(points)))
        kept.add(min(stretch, key=lambda at: points[at][1]))
        kept.add(max(stretch, key=lambda at: points[at][1]))
    return [points[at] for at in sorted(kept)]
