"""Progress on a terminal: shown once work has lasted two seconds, and gone when it is over."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from mlporter.cli.render.text import human_bytes, human_count, visible
from mlporter.progress import PHASES, ProgressEvent, ProgressEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = ["TerminalProgress"]

_DELAY = 2.0
_BAR = 14


def _amount(number: float, unit: str) -> str:
    return human_bytes(number) if unit == "bytes" else human_count(int(number))


class _Amount(ProgressColumn):
    """``3 of 5``, ``1,234,567 rows``, ``12.3 of 45.6 MB``."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        if unit == PHASES:
            text = f"{task.completed + 1:.0f} of {task.total:.0f}" if task.total else ""
            return Text(text, style="progress.download")
        if task.total is None and not task.completed:
            return Text("")
        text = _amount(task.completed, unit)
        if unit != "bytes":
            text = f"{text} {unit}"
        elif task.total is not None:
            text = f"{text} of {_amount(task.total, unit)}"
        return Text(text, style="progress.download")


class _Rate(ProgressColumn):
    """``850,000/s``, ``61.2 MB/s``; the mean since the step began, so that it does not jump."""

    def render(self, task: Task) -> Text:
        elapsed = _elapsed(task)
        if not elapsed:
            return Text("")
        rate = _amount(task.completed / elapsed, task.fields["unit"])
        return Text(f"{rate}/s", style="progress.data.speed")


class _Remaining(ProgressColumn):
    """``00:10`` until the end, if it goes on as it did so far."""

    def render(self, task: Task) -> Text:
        elapsed = _elapsed(task)
        if not elapsed or task.total is None:
            return Text("")
        # Never less than nothing: a total may be that of an earlier look.
        left = max(0, round(elapsed * (task.total / task.completed - 1)))
        minutes, seconds = divmod(left, 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes:02}:{seconds:02}"
        return Text(f"{hours}:{text}" if hours else text, style="progress.remaining")


def _elapsed(task: Task) -> float | None:
    """Seconds since a step began to count something; of a phase none, as they differ so much."""
    if task.fields["unit"] == PHASES or not task.completed:
        return None
    return task.finished_time if task.finished else task.elapsed


def _columns() -> tuple[ProgressColumn, ...]:
    step = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    short = [Column(no_wrap=True, justify="right") for _ in range(3)]
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=step),
        BarColumn(bar_width=_BAR),
        _Amount(table_column=short[0]),
        _Rate(table_column=short[1]),
        _Remaining(table_column=short[2]),
        # Room for the ^C that a terminal echoes, lest it begins a new line that nobody wipes.
        TextColumn("", table_column=Column(width=2)),
    )


class TerminalProgress:
    """Draws what it hears: a line for the phase, and below it one for each step under way.

    It is an `OnProgress`. Safe to call from several threads.

    Args:
        console: Where to draw; must be a terminal.
        delay: Seconds before anything is shown.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        console: Console,
        *,
        delay: float = _DELAY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bar = Progress(
            *_columns(), console=console, transient=True, expand=True, get_time=clock
        )
        # Never a blank: this line is there before and between all steps.
        self._phase = self._bar.add_task("working", total=None, unit=PHASES)
        self._steps: dict[str, TaskID] = {}
        self._events = ProgressEvents(self._draw, every=0, clock=clock)
        self._lock = threading.Lock()
        self._shown = self._closed = False
        # A timer, because the first step may be silent for long; a daemon, as nobody waits for it.
        self._timer = threading.Timer(delay, self.show)
        self._timer.daemon = True
        self._timer.start()

    def __call__(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:
        """Say how far a step is (see `mlporter.progress.OnProgress`)."""
        self._events(step, done, total, unit)

    def _draw(self, event: ProgressEvent) -> None:
        if event.event == "phase":
            self._bar.update(
                self._phase,
                description=visible(event.phase),
                completed=event.phase_number - 1,
                total=event.phases,
            )
        elif event.event == "done":
            if (task := self._steps.pop(event.step, None)) is not None:
                self._bar.remove_task(task)
        elif (known := self._steps.get(event.step)) is not None:
            self._bar.update(known, completed=event.done, total=event.total, unit=event.unit)
        else:
            self._steps[event.step] = self._bar.add_task(
                f"  {visible(event.step)}",
                completed=event.done,
                total=event.total,
                unit=event.unit,
            )

    def show(self) -> None:
        """Begin to draw."""
        with self._lock:
            if not self._closed and not self._shown:
                self._shown = True
                self._bar.start()

    def close(self) -> None:
        """Wipe what was drawn; nothing is drawn any more."""
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._shown:
                self._bar.stop()
