"""Taking times on a machine that does other things too: repeat, and keep the best."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def best(work: Callable[[], object], before: Callable[[], object] | None = None, times=3) -> float:
    """Seconds of the fastest of some runs; ``before`` makes room for each and is not counted."""
    took = []
    for _ in range(times):
        if before is not None:
            before()
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


class Sheet:
    """Prints what was measured, each line with its rate and its ratio to the references."""

    def __init__(self, title: str, amount: float, unit: str) -> None:
        print(f"\n{title}")
        self._amount = amount
        self._unit = unit

    def line(self, what: str, seconds: float, **references: float) -> None:
        """One line: seconds, amount per second, and times the seconds of each reference."""
        ratios = "".join(
            f"  {seconds / reference:6.2f} x {name.replace('_', ' ')}"
            for name, reference in references.items()
        )
        rate = self._amount / seconds
        print(f"  {what:<34} {seconds:8.2f} s {rate:12,.0f} {self._unit}/s{ratios}")
