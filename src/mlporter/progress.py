"""How long work says what it is at: one call, its phases, and events with times made of these."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "PHASES",
    "OnProgress",
    "Phases",
    "ProgressEvent",
    "ProgressEvents",
    "log_progress",
    "silent",
    "told_to_all",
    "without_phases",
]

PHASES = "phases"
"""The unit of what is said where a phase begins."""

_OFTEN = 0.5
_log = logging.getLogger(__name__)


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
    """For work that is itself part of a phase: its steps are handed on, and its phases are not."""

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        if unit != PHASES:
            on_progress(step, done, total, unit)

    return tell


def told_to_all(*listeners: OnProgress) -> OnProgress:
    """One that hands on to several."""

    def tell(step: str, done: int, total: int | None, unit: str = "rows") -> None:
        for listener in listeners:
            listener(step, done, total, unit)

    return tell


@dataclass(frozen=True)
class ProgressEvent:
    """What `ProgressEvents` hands on.

    Attributes:
        event: ``phase`` begins; ``step`` begins or goes on; ``done``: a step is over; ``waiting``:
            nothing was heard for a while.
        phase: The phase that is under way, number `phase_number` of `phases`; "" and 0 before.
        step: What is being done; "" if that is not known.
        done: How many units of it are done.
        total: How many there are; None where nobody knows.
        unit: ``rows``, ``runs``, ``files``, ``bytes`` ….
        seconds: Since the step began; of a phase that begins, since the work began.
        per_second: Units a second, on average.
        seconds_left: Until the step is over, if it goes on as it did.
    """

    event: Literal["phase", "step", "done", "waiting"]
    phase: str
    phase_number: int
    phases: int
    step: str = ""
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    seconds: float = 0.0
    per_second: float | None = None
    seconds_left: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--progress json`` prints."""
        said = asdict(self) | {"seconds": round(self.seconds, 3)}
        for name in ("per_second", "seconds_left"):
            said[name] = None if said[name] is None else round(said[name], 1)
        return said


@dataclass
class _Step:
    began: float
    done: int
    total: int | None
    unit: str
    told: float

    @property
    def counted_nothing(self) -> bool:
        return self.total is None and not self.done


class ProgressEvents:
    """Makes events of what work says: an `OnProgress` for callers who want times and phases, too.

    A step that counted nothing is over when the next one begins, and every step when a phase does.
    Safe to call from several threads; events come one at a time.
    """

    def __init__(
        self,
        on_event: Callable[[ProgressEvent], None],
        *,
        every: float = _OFTEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Events go to `on_event`: of each step no more than one in `every` seconds."""
        self._on_event = on_event
        self._every = every
        self._clock = clock
        self._lock = threading.RLock()
        self._steps: dict[str, _Step] = {}
        self._phase: tuple[str, int, int] = ("", 0, 0)
        self._began = self._heard = self._told = clock()

    def __call__(self, step: str, done: int, total: int | None, unit: str = "rows") -> None:
        """Say how far a step is (see `OnProgress`)."""
        with self._lock:
            now = self._clock()
            if unit == PHASES:
                self._end_all(now)
                self._phase = (step, done, total or done)
                self._tell(ProgressEvent("phase", *self._phase, seconds=now - self._began), now)
            else:
                self._advance(step, done, total, unit, now)
            self._heard = now

    def _advance(self, name: str, done: int, total: int | None, unit: str, now: float) -> None:
        step = self._steps.get(name)
        is_over = total is not None and done >= total
        if step is None:
            if is_over and not total:
                return
            for other in [one for one, it in self._steps.items() if it.counted_nothing]:
                self._end(other, now)
            # What has counted something in its first call began when something was last heard.
            began = self._heard if done else now
            step = self._steps[name] = _Step(began, done, total, unit, float("-inf"))
        step.done, step.total, step.unit = done, total, unit
        if is_over:
            self._end(name, now)
        elif now - step.told >= self._every:
            step.told = now
            self._tell(self._event("step", name, step, now), now)

    def _event(
        self, kind: Literal["step", "done", "waiting"], name: str, step: _Step, now: float
    ) -> ProgressEvent:
        seconds = now - step.began
        rate = step.done / seconds if seconds > 0 and step.done else None
        left = None if rate is None or step.total is None else (step.total - step.done) / rate
        return ProgressEvent(
            kind,
            *self._phase,
            step=name,
            done=step.done,
            total=step.total,
            unit=step.unit,
            seconds=seconds,
            per_second=rate,
            seconds_left=left,
        )

    def _end(self, name: str, now: float) -> None:
        step = self._steps.pop(name)
        self._tell(self._event("done", name, step, now), now)

    def _end_all(self, now: float) -> None:
        for name in list(self._steps):
            self._end(name, now)

    def _tell(self, event: ProgressEvent, now: float) -> None:
        self._told = now
        self._on_event(event)

    def wait(self, seconds: float) -> None:
        """Say what is under way if nothing was said for so long: for a clock to call."""
        with self._lock:
            now = self._clock()
            if now - self._told < seconds:
                return
            if self._steps:
                name, step = next(reversed(self._steps.items()))
                self._tell(self._event("waiting", name, step, now), now)
            else:
                waited = now - self._heard
                self._tell(ProgressEvent("waiting", *self._phase, seconds=waited), now)

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            self._end_all(self._clock())


def log_progress(event: ProgressEvent) -> None:
    """Log phases and steps with counts and seconds: for `ProgressEvents`."""
    extra = {"progress": event.as_dict()}
    if event.event == "phase":
        where = f"phase {event.phase_number} of {event.phases}"
        _log.info("%s: %s", where, event.phase, extra=extra)
    elif event.event == "done" and event.done:
        counted = f"{event.step}: {event.done:,} {event.unit}"
        _log.info("%s in %.2f s", counted, event.seconds, extra=extra)
    elif event.event == "done":
        # Many a short look counts nothing: there is one for each table.
        level = logging.INFO if event.seconds >= _OFTEN else logging.DEBUG
        _log.log(level, "%s: %.2f s", event.step, event.seconds, extra=extra)
    else:
        of = "" if event.total is None else f" of {event.total:,}"
        _log.debug("%s: %s%s %s", event.step, f"{event.done:,}", of, event.unit, extra=extra)
