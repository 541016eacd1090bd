"""`inspect` of one experiment or one run: what is in it."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, silent
from mlporter.redaction import redact
from mlporter.selection import Selection, select
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.version_locations import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.errors import LeftOut
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Source

__all__ = [
    "RUNS_NAMED",
    "ExperimentDetails",
    "ExperimentRuns",
    "LastMetric",
    "RunDetails",
    "RunFile",
    "RunInfo",
    "inspect_experiment",
    "inspect_run",
]

RUNS_NAMED = 1000
"""How many runs of an experiment, and files of a run, are named; all are counted."""

_RUN = ("run_uuid", "name", "status", "lifecycle_stage", "start_time", "end_time")
_EXPERIMENT = (
    "experiment_id",
    "workspace",
    "name",
    "lifecycle_stage",
    "artifact_location",
    "creation_time",
    "last_update_time",
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run in a line. Times are milliseconds since the epoch."""

    id: str
    name: str
    status: str
    lifecycle_stage: str
    start_time: int | None
    end_time: int | None


@dataclass(frozen=True)
class ExperimentRuns:
    """An experiment, its tags and its newest runs.

    ``runs`` and ``deleted_runs`` count; ``newest`` names the first `RUNS_NAMED`.
    """

    workspace: str
    id: int
    name: str
    lifecycle_stage: str
    artifact_location: str
    creation_time: int | None
    last_update_time: int | None
    tags: dict[str, str]
    runs: int
    deleted_runs: int
    newest: tuple[RunInfo, ...]


@dataclass(frozen=True)
class ExperimentDetails(Shown):
    """The experiments of a name or glob."""

    address: str
    experiments: tuple[ExperimentRuns, ...]

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LastMetric:
    """The last point of a metric, and how many points it has."""

    key: str
    value: float
    step: int
    timestamp: int
    points: int


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run by its path, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class RunDetails(Shown):
    """A run: parameters, last metrics, tags, files, and the versions that were made from it.

    ``files`` are the first `RUNS_NAMED`; ``file_count`` and ``file_bytes`` count all. ``unread``
    says which could not be listed.
    """

    address: str
    run: RunInfo
    experiment_id: int
    experiment: str
    user: str
    artifact_uri: str
    params: dict[str, str]
    metrics: tuple[LastMetric, ...]
    tags: dict[str, str | None]
    versions: tuple[str, ...]
    files: tuple[RunFile, ...]
    file_count: int
    file_bytes: int
    unread: tuple[LeftOut, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints; NaN and infinities are texts."""
        data = asdict(self)
        for metric in data["metrics"]:
            value = metric["value"]
            metric["value"] = value if math.isfinite(value) else str(value)
        return data


def inspect_experiment(
    address: Place,
    name: str,
    *,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    on_progress: OnProgress = silent,
) -> ExperimentDetails:
    """Experiments with their tags and newest runs; nothing is changed.

    Args:
        address: Where to look.
        name: Of the experiment, or a glob.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the place's own variables begin with, such as ``DEV_``.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: there is no such experiment.
        MlporterError: as `mlporter.stores.opening.open_source`.
    """
    place = locate(address, source_env)
    with closing(
        open_source(place, retry_time=retry_time, part=True, on_progress=on_progress)
    ) as source:
        part = select(source, Selection(experiments=(name,), parents=False))
        # Datasets and prompts that runs name may bring experiments of their own.
        rows = [row for row in rows_of(part, "experiments", _EXPERIMENT) if _is_asked(row, name)]
        found = tuple(_experiment(part, row) for row in rows)
        return ExperimentDetails(source.description.address, found)


def _is_asked(row: tuple[Any, ...], name: str) -> bool:
    return name in {row[2], str(row[0])} or fnmatchcase(row[2], name)


def _experiment(source: Source, row: tuple[Any, ...]) -> ExperimentRuns:
    id_, workspace, name, stage, location, created, updated = row
    of_it = Among("experiment_id", (id_,))
    tags = dict(rows_of(source, "experiment_tags", ("key", "value"), of_it))
    counts = {"active": 0, "deleted": 0}

    def runs() -> Iterator[RunInfo]:
        for run in rows_of(source, "runs", _RUN, of_it):
            info = _run(run)
            counts["deleted" if info.lifecycle_stage == "deleted" else "active"] += 1
            yield info

    newest = nlargest(RUNS_NAMED, runs(), key=lambda run: (run.start_time or 0, run.id))
    return ExperimentRuns(
        workspace or "default",
        id_,
        name,
        stage or "active",
        redact(location or ""),
        created,
        updated,
        tags,
        counts["active"],
        counts["deleted"],
        tuple(newest),
    )


def _run(row: tuple[Any, ...]) -> RunInfo:
    id_, name, status, stage, start, end = row
    return RunInfo(id_, name or "", status or "", stage or "active", start, end)


def inspect_run(
    address: Place,
    run: str,
    *,
    registry: Place | None = None,
    allow_root: Sequence[Place] = (),
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    on_progress: OnProgress = silent,
) -> RunDetails:
    """Look into one run: parameters, last metrics, tags, files; nothing is changed.

    Args:
        address: Where to look.
        run: Its id.
        registry: Where its registered models are, if they are in another place.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the place's own variables begin with, such as ``DEV_``.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: there is no such run.
        MlporterError: as `mlporter.stores.opening.open_source`.
    """
    place = locate(address, source_env)
    with closing(
        open_source(
            place,
            retry_time=retry_time,
            part=True,
            registry=None if registry is None else locate_users(registry, place),
            allow_root=allow_root,
            on_progress=on_progress,
        )
    ) as source:
        part = select(source, Selection(runs=(run,), parents=False))
        return _details(source, part, run)


def _details(source: Source, part: Source, run: str) -> RunDetails:
    of_it = Among("run_uuid", (run,))
    columns = (*_RUN, "experiment_id", "user_id", "artifact_uri")
    (row,) = rows_of(part, "runs", columns, of_it)
    experiment, user, uri = row[len(_RUN) :]
    names = rows_of(part, "experiments", ("name",), Among("experiment_id", (experiment,)))
    unread: list[LeftOut] = []
    files: list[RunFile] = []
    count = size = 0
    for file in part.files(unread.append, lambda kind, owner: (kind, owner) == ("run", run)):
        count, size = count + 1, size + file.size
        if count <= RUNS_NAMED:
            files.append(RunFile(file.path, file.size))
    versions = rows_of(source, "model_versions", ("name", "version", "run_id"))
    return RunDetails(
        address=source.description.address,
        run=_run(row[: len(_RUN)]),
        experiment_id=experiment,
        experiment=next((name for (name,) in names), ""),
        user=user or "",
        artifact_uri=redact(uri or ""),
        params=dict(rows_of(part, "params", ("key", "value"), of_it)),
        metrics=_last_metrics(part, of_it),
        tags=dict(rows_of(part, "tags", ("key", "value"), of_it)),
        versions=tuple(f"{model}/{number}" for model, number, of in versions if of == run),
        files=tuple(files),
        file_count=count,
        file_bytes=size,
        unread=tuple(unread[:RUNS_NAMED]),
    )


def _last_metrics(source: Source, of_run: Among) -> tuple[LastMetric, ...]:
    """As MLflow has it: the point that is greatest by step, time and value."""
    last: dict[str, tuple[tuple[int, int, float], float, int]] = {}
    columns = ("key", "step", "timestamp", "value", "is_nan")
    for key, step, time, value, is_nan in rows_of(source, "metrics", columns, of_run):
        order = (step or 0, time or 0, value or 0.0)
        before, shown, points = last.get(key, (order, value, 0))
        if order >= before:
            before, shown = order, math.nan if is_nan else value
        last[key] = (before, shown, points + 1)
    return tuple(
        LastMetric(key, shown, order[0], order[1], points)
        for key, (order, shown, points) in sorted(last.items())
    )
