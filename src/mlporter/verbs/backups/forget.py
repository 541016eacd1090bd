"""`forget`: remove snapshots by rule, and what only they needed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from mlporter.errors import (
    ExitCode,
    RefusedError,
    UsageError,
)
from mlporter.execute.plan_files import check_expected, check_plan_file, write_plan
from mlporter.notebooks import Shown
from mlporter.plan.three_sides.actions import Action, ActionBook, ActionKind
from mlporter.progress import OnProgress, silent
from mlporter.repository.layout import snapshot_path
from mlporter.repository.locks import locked
from mlporter.repository.prune import Pruned, prune
from mlporter.repository.repository import choose
from mlporter.repository.retention import Kept, Retention, sort_out
from mlporter.stores.addresses.locating import locate
from mlporter.stores.bundles.repository_places import open_repository
from mlporter.verbs.moving.request import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.bundle.storage.protocol import Storage
    from mlporter.repository.repository import Repository
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["ForgetResult", "forget", "run_forget"]

GRACE = 3600.0
"""Seconds for which whatever was just written is left alone."""


@dataclass(frozen=True)
class ForgetResult(Shown):
    """Which snapshots stay and why, which were forgotten, and what was removed with them.

    ``damaged`` are the names of those that were named and forgotten though nobody can say what
    they are of: their own document cannot be read. They are not among ``snapshots``.
    """

    repository: str
    snapshots: tuple[Kept, ...]
    pruned: Pruned | None
    dry_run: bool = False
    next_command: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Always 0."""
        return ExitCode.OK

    @property
    def forgotten(self) -> tuple[str, ...]:
        """The names of the snapshots that are gone, or would be."""
        gone = [one.snapshot.name for one in self.snapshots if not one.reasons]
        return tuple(sorted([*gone, *self.damaged]))

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "repository": self.repository,
            "dry_run": self.dry_run,
            "kept": {one.snapshot.name: list(one.reasons) for one in self.snapshots if one.reasons},
            "forgotten": list(self.forgotten),
            "pruned": vars(self.pruned) if self.pruned else None,
            "next_command": self.next_command or None,
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
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> ForgetResult:
    """Remove snapshots: those that are named, or all that no rule keeps.

    Args:
        repository: The folder, or the place in object storage.
        *names: Snapshots to forget, as after ``@``; else the rules say which. One whose own
            document is damaged is named as a whole.
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
        plan_out: Write the plan to this file, for `apply`, and remove nothing.
        dry_run: Only say what would be done.
        on_progress: Called with how far it is.

    Raises:
        UsageError: no rule and no snapshot is named, or there is no such snapshot.
        RefusedError: nothing may be removed from this repository.
        RepositoryInUseError: a backup is under way there.
    """
    arguments = {
        "names": names,
        "keep_last": keep_last,
        "keep_hourly": keep_hourly,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_within": keep_within,
        "keep_tags": tuple(keep_tags),
        "prune_unused": prune_unused,
        "grace": grace,
        "plan_out": plan_out,
        "dry_run": dry_run,
    }
    return run_forget(Request("forget", repository, repository, arguments), on_progress)


def run_forget(request: Request, on_progress: OnProgress) -> ForgetResult:
    """Find out what `forget` would remove, and remove it unless a plan is all.

    Raises:
        MlporterError: as `forget` says.
    """
    given, dry_run = request.arguments, request.only_plans
    check_plan_file(request.plan_out)
    names = tuple(given.get("names", ()))
    within = given["keep_within"]
    retention = Retention(
        given["keep_last"],
        given["keep_hourly"],
        given["keep_daily"],
        given["keep_weekly"],
        given["keep_monthly"],
        given["keep_yearly"],
        None if within is None else timedelta(seconds=within),
        frozenset(given["keep_tags"]),
    )
    if bool(names) is not retention.is_empty:
        raise UsageError(
            "say which snapshots to keep, or name those to forget",
            hint="such as --keep-last 7 --keep-weekly 4 --keep-monthly 12",
        )
    place = locate(request.source)
    with closing(open_repository(place)) as opened:
        storage = opened.storage
        if opened.about.append_only and not dry_run:
            raise RefusedError(
                "nothing is ever removed from this repository: it is append-only",
                subject=storage.name,
            )
        with locked(storage, "prune", append_only=dry_run):
            sorted_out, damaged = _sorted_out(opened, names, retention)
            if given["prune_unused"]:
                _check_rest(opened, sorted_out, damaged)
            gone = [*damaged, *(one.snapshot.name for one in sorted_out if not one.reasons)]
            _check_plan(request, place, sorted_out, damaged)
            if not dry_run:
                for name in gone:
                    _remove(storage, name)
            pruned = None
            if given["prune_unused"]:
                opened.load_index()
                pruned = prune(
                    opened,
                    tuple(one.snapshot for one in sorted_out if one.reasons),
                    grace=timedelta(seconds=given["grace"]),
                    dry_run=dry_run,
                    on_progress=on_progress,
                )
    following = request.next_command if gone or given["prune_unused"] else ""
    return ForgetResult(storage.name, tuple(sorted_out), pruned, dry_run, following, damaged)


def _check_plan(
    request: Request, place: Address, sorted_out: Sequence[Kept], damaged: Sequence[str]
) -> None:
    """Write down which snapshots go, or refuse to remove others than the plan file says.

    Raises:
        RefusedError: by now the rules keep others.
    """
    with closing(ActionBook()) as book:
        for one in sorted_out:
            if not one.reasons:
                found = one.snapshot
                why = ", ".join([found.source, *(f"tag {tag}" for tag in found.tags)])
                book.add(Action(ActionKind.DELETE, "snapshots", found.name, why=why))
        for name in damaged:
            book.add(Action(ActionKind.DELETE, "snapshots", name, why="damaged"))
        check_expected(request.expected, book)
        if request.plan_out is not None:
            write_plan(request.plan_out, request.header(place, place), book)


def _sorted_out(
    repository: Repository, names: Sequence[str], retention: Retention
) -> tuple[list[Kept], tuple[str, ...]]:
    """Which snapshots stay and why, and the names of damaged ones that go."""
    if not names:
        found = repository.snapshots()
        return sort_out(found, retention, datetime.now(timezone.utc)), ()
    found = tuple(repository.whole_newest_first())[::-1]
    unread = set(repository.damaged)
    gone = {
        name if name in unread else choose(found, name, repository.storage.name).name
        for name in names
    }
    kept = [Kept(one, () if one.name in gone else ("not named",)) for one in found]
    return kept, tuple(sorted(gone & unread))


def _check_rest(repository: Repository, known: Sequence[Kept], gone: Sequence[str]) -> None:
    """Refuse to prune beside a snapshot that stays and cannot be read: what it needs is not known.

    Raises:
        BundleDamagedError: there is one.
    """
    read = {one.snapshot.name for one in known}
    for name in repository.names():
        if name not in read and name not in gone:
            repository.snapshot(name)


def _remove(storage: Storage, name: str) -> None:
    """Remove a snapshot; without its own document it is none, so that this goes first."""
    storage.remove([snapshot_path(name)])
    storage.remove([found.path for found in storage.walk(snapshot_path(name, "").rstrip("/"))])
