"""Which snapshots are kept: pure, by the times and tags of snapshots of one registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from mlporter.repository.documents import Snapshot

__all__ = ["Kept", "Retention", "sort_out"]


@dataclass(frozen=True)
class Retention:
    """How much is kept, of each registry in a repository.

    Of each of the last so many hours, days, weeks (of ISO 8601), months and years that have a
    snapshot, the last snapshot is kept; besides the last so many of all, all that are younger than
    `within`, and all that have one of `tags`. Times are UTC.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None
    tags: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether it keeps nothing."""
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        return not (any(counts) or self.within or self.tags)


@dataclass(frozen=True)
class Kept:
    """A snapshot, and why it is kept: ``last``, ``daily`` …; nothing for one that is forgotten."""

    snapshot: Snapshot
    reasons: tuple[str, ...]


_PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("hourly", lambda time: (time.date(), time.hour)),
    ("daily", lambda time: time.date()),
    ("weekly", lambda time: time.isocalendar()[:2]),
    ("monthly", lambda time: (time.year, time.month)),
    ("yearly", lambda time: time.year),
)


def sort_out(snapshots: Iterable[Snapshot], retention: Retention, now: datetime) -> list[Kept]:
    """Every snapshot, the oldest first, with the reasons for which it is kept."""
    places: dict[str, list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda found: found.name):
        places.setdefault(snapshot.place, []).append(snapshot)
    found = [one for group in places.values() for one in _sort_out(group, retention, now)]
    return sorted(found, key=lambda one: one.snapshot.name)


def _sort_out(group: list[Snapshot], retention: Retention, now: datetime) -> list[Kept]:
    reasons: dict[str, list[str]] = {snapshot.name: [] for snapshot in group}
    for snapshot in group[len(group) - retention.last :] if retention.last else ():
        reasons[snapshot.name].append("last")
    for name, period in _PERIODS:
        for snapshot in _last_of_each(group, period, getattr(retention, name)):
            reasons[snapshot.name].append(name)
    for snapshot in group:
        if retention.within is not None and now - snapshot.time <= retention.within:
            reasons[snapshot.name].append("within")
        if retention.tags & set(snapshot.tags):
            reasons[snapshot.name].append("tag")
    return [Kept(snapshot, tuple(reasons[snapshot.name])) for snapshot in group]


def _last_of_each(
    group: list[Snapshot], period: Callable[[datetime], object], count: int
) -> list[Snapshot]:
    last: dict[object, Snapshot] = {}
    for snapshot in group:
        last[period(snapshot.time)] = snapshot
    return list(last.values())[len(last) - count :] if count > 0 else []
