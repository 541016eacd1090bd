"""What work tells: one call for steps and phases, with no dependency on who listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["PHASES", "OnProgress", "Phases", "silent", "told_to_all", "without_phases"]

PHASES = "phases"
"""The unit of what is told where a phase begins."""


class OnProgress(Protocol):
    """Called now and then by anything that may take longer than two seconds."""

    def __call__(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:
        """Say how far a step is, or that a phase begins.

        Args:
            step: What is being done, for people: ``reading metrics``, ``copying artifacts``.
            done: How many units are done; equal to `total` when the step ends.
            total: How many there are, or None where nobody knows yet.
            unit: ``rows``, ``runs``, ``files`` or ``bytes``. If it is ``phases``, then `step` is
                the phase that begins, and it is number `done` of `total`.
        """


def silent(step: str, done: int, total: int | None, unit: str = "rows") -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Phases:
    """The phases of one piece of work, known before it begins; not all of them need come."""

    on_progress: OnProgress
    names: tuple[str, ...]

    def begin(self, name: str) -> None:
        """Say that a phase begins, and so that the one before it is over."""
        self.on_progress(name, self.names.index(name) + 1, len(self.names), PHASES)


def without_phases(on_progress: OnProgress) -> OnProgress:
    """For work that is itself part of a phase: its steps are told, and its phases are not."""

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        if unit != PHASES:
            on_progress(step, done, total, unit)

    return tell


def told_to_all(*listeners: OnProgress) -> OnProgress:
    """One that tells several."""

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        for listener in listeners:
            listener(step, done, total, unit)

    return tell
