"""`snapshots` and `find`: what a repository holds, and which snapshots hold something."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mlporter.errors import ExitCode, UsageError
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, silent
from mlporter.stores.addresses.locating import locate
from mlporter.stores.bundles.repository_places import open_repository
from mlporter.stores.bundles.snapshot_source import SnapshotSource
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import DamagedSnapshot, Repository
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Source

__all__ = ["Found", "FoundResult", "SnapshotList", "find", "snapshots"]


@dataclass(frozen=True)
class SnapshotList(Shown):
    """The snapshots of a repository, the oldest first; ``damaged`` ones cannot be read."""

    repository: str
    snapshots: tuple[Snapshot, ...]
    damaged: tuple[DamagedSnapshot, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """5 where one is damaged."""
        return ExitCode.BUNDLE if self.damaged else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "repository": self.repository,
            "snapshots": [found.model_dump(mode="json") for found in self.snapshots],
            "damaged": [asdict(one) for one in self.damaged],
        }


@dataclass(frozen=True)
class Found:
    """Something of a name, as a snapshot holds it.

    ``kind`` is "experiment", "run" or "model"; ``id`` the experiment's or the run's; ``state`` says
    for people how it was then.
    """

    snapshot: str
    kind: str
    name: str
    id: str
    state: str


@dataclass(frozen=True)
class FoundResult(Shown):
    """What `find` found, by snapshot, the oldest first; in ``damaged`` ones nobody could look."""

    repository: str
    pattern: str
    found: tuple[Found, ...]
    damaged: tuple[DamagedSnapshot, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 where no snapshot holds anything of that name; 5 where one is damaged."""
        if self.damaged:
            return ExitCode.BUNDLE
        return ExitCode.OK if self.found else ExitCode.DIFFERENT

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        found = [asdict(one) for one in self.found]
        damaged = [asdict(one) for one in self.damaged]
        told = {"repository": self.repository, "pattern": self.pattern, "found": found}
        return {**told, "damaged": damaged}


def snapshots(repository: Place) -> SnapshotList:
    """The snapshots of a repository, the oldest first.

    Raises:
        UsageError: the place is no repository.
        UnreachableError: it cannot be read.
        BundleDamagedError: the document that says that it is one is damaged.
    """
    with closing(open_repository(locate(repository))) as opened:
        return SnapshotList(opened.storage.name, *_as_far_as_readable(opened))


def _as_far_as_readable(
    repository: Repository,
) -> tuple[tuple[Snapshot, ...], tuple[DamagedSnapshot, ...]]:
    """Snapshots, and those that cannot be read; the oldest first."""
    found = tuple(repository.whole_newest_first())[::-1]
    return found, tuple(repository.damaged.values())[::-1]


def find(repository: Place, pattern: str, *, on_progress: OnProgress = silent) -> FoundResult:
    """Which snapshots hold experiments, runs or models of a name, and in which state.

    Args:
        repository: The folder, or the place in object storage.
        pattern: A name or a glob, or the id of a run or an experiment.
        on_progress: Called with how far it is.

    Raises:
        UsageError: the place is no repository, or there is no pattern.
        UnreachableError: it cannot be read.
    """
    if not pattern:
        raise UsageError("name what to find", hint="a name, a glob such as 'churn*', or an id")
    place = locate(repository)
    with closing(open_repository(place)) as opened:
        where, (all_of_them, damaged) = opened.storage.name, _as_far_as_readable(opened)
    found: list[Found] = []
    for at, snapshot in enumerate(all_of_them):
        on_progress("looking through snapshots", at, len(all_of_them), "snapshots")
        with closing(SnapshotSource(open_repository(place), snapshot.name)) as source:
            found += _in_snapshot(source, snapshot.name, pattern)
    return FoundResult(where, pattern, tuple(found), damaged)


def _in_snapshot(source: Source, snapshot: str, pattern: str) -> Iterator[Found]:
    def fits(*names: object) -> bool:
        return any(fnmatchcase(str(name), pattern) for name in names if name is not None)

    counts: dict[object, int] = {}
    runs = []
    columns = ("run_uuid", "name", "experiment_id", "status", "lifecycle_stage")
    for run, name, experiment, status, stage in rows_of(source, "runs", columns):
        counts[experiment] = counts.get(experiment, 0) + 1
        if fits(run, name):
            gone = ", deleted" if stage == "deleted" else ""
            runs.append(Found(snapshot, "run", name or "", run, f"{status}{gone}"))
    described = ("experiment_id", "name", "lifecycle_stage")
    for experiment, name, stage in rows_of(source, "experiments", described):
        if fits(experiment, name):
            number = counts.get(experiment, 0)
            gone = ", deleted" if stage == "deleted" else ""
            state = f"{number:,} run{'' if number == 1 else 's'}{gone}"
            yield Found(snapshot, "experiment", name, str(experiment), state)
    yield from runs
    yield from _models(source, snapshot, fits)


def _models(source: Source, snapshot: str, fits: Callable[..., bool]) -> Iterator[Found]:
    versions: dict[tuple[object, ...], list[str]] = {}
    columns = ("workspace", "name", "version", "current_stage")
    for workspace, name, number, stage in rows_of(source, "model_versions", columns):
        staged = f" {stage}" if stage and stage != "None" else ""
        versions.setdefault((workspace, name), []).append(f"{number}{staged}")
    aliases: dict[tuple[object, ...], list[str]] = {}
    columns = ("workspace", "name", "alias", "version")
    for workspace, name, alias, number in rows_of(source, "registered_model_aliases", columns):
        aliases.setdefault((workspace, name), []).append(f"@{alias}={number}")
    for workspace, name in rows_of(source, "registered_models", ("workspace", "name")):
        if fits(name):
            key = (workspace, name)
            state = [f"versions {', '.join(versions.get(key, ['none']))}", *aliases.get(key, [])]
            yield Found(snapshot, "model", name, "", "; ".join(state))
