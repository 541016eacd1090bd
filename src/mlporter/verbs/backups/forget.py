"""`forget`: remove snapshots by rule, and what only they needed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from mlporter.errors import ExitCode, RefusedError, UsageError
from mlporter.progress import OnProgress, silent
from mlporter.repository.layout import snapshot_path
from mlporter.repository.locks import locked
from mlporter.repository.prune import Pruned, prune
from mlporter.repository.repository import choose
from mlporter.repository.retention import Kept, Retention, sort_out
from mlporter.stores.addresses.locating import locate
from mlporter.stores.bundles.repository_places import open_repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.bundle.storage.protocol import Storage
    from mlporter.repository.repository import Repository
    from mlporter.stores.addresses.address import Place

__all__ = ["ForgetResult", "forget"]

GRACE = 3600.0
"""Seconds for which whatever was just written is left alone."""


@dataclass(frozen=True)
class ForgetResult:
    """Which snapshots stay and why, which were forgotten, and what was removed with them."""

    repository: str
    snapshots: tuple[Kept, ...]
    pruned: Pruned | None
    dry_run: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """Always 0."""
        return ExitCode.OK

    @property
    def forgotten(self) -> tuple[str, ...]:
        """The names of the snapshots that are gone, or would be."""
        return tuple(one.snapshot.name for one in self.snapshots if not one.reasons)

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "repository": self.repository,
            "dry_run": self.dry_run,
            "kept": {one.snapshot.name: list(one.reasons) for one in self.snapshots if one.reasons},
            "forgotten": list(self.forgotten),
            "pruned": vars(self.pruned) if self.pruned else None,
        }


def forget(
    repository: Place,
    *names: str,
    keep_last: int = 0,
    keep_hourly: int = 0,
    keep_daily: int = 0,
    keep_weekly: int = 0,
    keep_monthly: int = 0,
    keep_yearly: int = 0,
    keep_within: float | None = None,
    keep_tags: Sequence[str] = (),
    prune_unused: bool = False,
    grace: float = GRACE,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> ForgetResult:
    """Remove snapshots: those that are named, or all that no rule keeps.

    Args:
        repository: The folder, or the place in object storage.
        *names: Snapshots to forget, as after ``@``; else the rules say which.
        keep_last: Keep the last so many of each registry.
        keep_hourly: Keep the last one of each of the last so many hours that have any.
        keep_daily: So of days (UTC).
        keep_weekly: So of weeks (Monday to Sunday).
        keep_monthly: So of months.
        keep_yearly: So of years.
        keep_within: Keep all that are younger than so many seconds.
        keep_tags: Keep all that have one of these tags.
        prune_unused: Remove table parts and contents that no snapshot needs any more.
        grace: Seconds for which whatever was just written is left alone.
        dry_run: Only say what would be done.
        on_progress: Told how far it is.

    Raises:
        UsageError: no rule and no snapshot is named, or there is no such snapshot.
        RefusedError: nothing may be removed from this repository.
        RepositoryInUseError: a backup is under way there.
    """
    retention = Retention(
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        None if keep_within is None else timedelta(seconds=keep_within),
        frozenset(keep_tags),
    )
    if bool(names) is not retention.is_empty:
        raise UsageError(
            "say which snapshots to keep, or name those to forget",
            hint="such as --keep-last 7 --keep-weekly 4 --keep-monthly 12",
        )
    with closing(open_repository(locate(repository))) as opened:
        storage = opened.storage
        if opened.about.append_only and not dry_run:
            raise RefusedError(
                "nothing is ever removed from this repository: it is append-only",
                subject=storage.name,
            )
        with locked(storage, "prune", append_only=dry_run):
            sorted_out = _sorted_out(opened, names, retention)
            gone = [one.snapshot.name for one in sorted_out if not one.reasons]
            if not dry_run:
                for name in gone:
                    _remove(storage, name)
            pruned = None
            if prune_unused:
                opened.load_index()
                pruned = prune(
                    opened,
                    tuple(one.snapshot for one in sorted_out if one.reasons),
                    grace=timedelta(seconds=grace),
                    dry_run=dry_run,
                    on_progress=on_progress,
                )
    return ForgetResult(storage.name, tuple(sorted_out), pruned, dry_run)


def _sorted_out(repository: Repository, names: Sequence[str], retention: Retention) -> list[Kept]:
    found = repository.snapshots()
    if not names:
        return sort_out(found, retention, datetime.now(timezone.utc))
    gone = {choose(found, name, repository.storage.name).name for name in names}
    return [Kept(one, () if one.name in gone else ("not named",)) for one in found]


def _remove(storage: Storage, name: str) -> None:
    """Remove a snapshot; without its own document it is none, so that this goes first."""
    storage.remove([snapshot_path(name)])
    storage.remove([found.path for found in storage.walk(snapshot_path(name, "").rstrip("/"))])
