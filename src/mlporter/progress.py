"""How long work tells what it is at: one call, no dependency on a terminal."""

from __future__ import annotations

from typing import Protocol

__all__ = ["OnProgress", "silent"]


class OnProgress(Protocol):
    """Called now and then by anything that may take longer than two seconds."""

    def __call__(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:
        """Say how far a step is.

        Args:
            step: What is being done, for people: ``reading metrics``, ``copying artifacts``.
            done: How many units are done; equal to `total` when the step ends.
            total: How many there are, or None where nobody knows yet.
            unit: ``rows``, ``runs``, ``files`` or ``bytes``.
        """


def silent(step: str, done: int, total: int | None, unit: str = "rows") -> None:
    """Progress that nobody looks at."""
