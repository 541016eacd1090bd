"""Runs whose metric points are the same on both sides, known without reading all of them.

MLflow only ever adds points. A run that has as many on both sides, and the same latest of each
metric, has the same ones, unless somebody changed a database by hand: `--full` reads them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.compare.rows.shape import Shaper, pair_up
from mlporter.compare.rows.streams import compare_streams
from mlporter.stores.protocols import points_by_run
from mlporter.stores.rows.point_counts import POINTS

if TYPE_CHECKING:
    from mlporter.catalogue.types import Table
    from mlporter.compare.report import Difference
    from mlporter.plan.side_reader import Reader

__all__ = ["with_other_points"]

_LATEST = "latest_metrics"


def with_other_points(source: Reader, target: Reader) -> frozenset[str] | None:
    """Runs whose points may be others, or that only one side has; None where they cannot tell.

    Args:
        source: One side.
        target: The other one, which calls all runs the same.
    """
    mine, theirs = _latest(source), _latest(target)
    if mine is None or theirs is None:
        return None
    here, there = points_by_run(source), points_by_run(target)
    pair = pair_up(mine, theirs, frozenset())
    if here is None or there is None or pair is None or not pair.table.key:
        return None
    if pair.left is None or pair.right is None:
        return None
    others: set[str] = set()

    def note(difference: Difference) -> None:
        others.add(str(difference.key["run_uuid"]))

    compare_streams(POINTS, here, there, note)
    left = source.read(_LATEST, tuple(pair.left.schema.names))
    right = target.read(_LATEST, tuple(pair.right.schema.names))
    compare_streams(
        pair.table,
        Shaper(pair, pair.left, pair.right).shape(left, ()),
        Shaper(pair, pair.right, pair.left).shape(right, ()),
        note,
    )
    return frozenset(others)


def _latest(reader: Reader) -> Table | None:
    return next((table for table in reader.tables if table.name == _LATEST), None)
