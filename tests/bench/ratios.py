"""What was measured, each against something that users know, in the same run."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

__all__ = ["MEASURED", "Ratio", "add", "side_by_side", "table"]


@dataclass(frozen=True)
class Ratio:
    """One line: what, against what, and how much of it is still good."""

    measure: str
    ours: str
    reference: str
    ratio: float
    reach: float


MEASURED: list[Ratio] = []
"""All of this run, printed at its end."""


def add(measure: str, ours: float, reference: float, reach: float, unit: str = "s") -> None:
    """Note a measure; what is too slow is printed, and fails nothing."""
    digits = 2 if unit == "s" else 0
    line = f"{ours:.{digits}f} {unit}", f"{reference:.{digits}f} {unit}"
    MEASURED.append(Ratio(measure, *line, ours / reference, reach))


def side_by_side(
    *works: Callable[[], object],
    before: Callable[[], object] | None = None,
    times: int = 3,
) -> list[float]:
    """Seconds of the fastest run of each; they take turns, as the machine has other work too.

    `before` makes room for each and is not counted.
    """
    took: list[list[float]] = [[] for _ in works]
    for _ in range(times):
        for seconds, work in zip(took, works, strict=True):
            if before is not None:
                before()
            gc.collect()
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in took]


def table() -> Table:
    """All measures, in the order in which they were taken."""
    from rich.table import Table  # noqa: PLC0415 -- only where something was measured

    made = Table("measure", title="Ratios within this run", title_justify="left")
    for name in ("mlporter", "reference", "ratio", "reach"):
        made.add_column(name, justify="right")
    for line in MEASURED:
        style = "green" if line.ratio <= line.reach else "red"
        ratio = f"[{style}]{line.ratio:.2f} x[/]"
        made.add_row(line.measure, line.ours, line.reference, ratio, f"≤ {line.reach:.3g} x")
    return made
