"""What `inspect` shows beside what it counts: the newest runs, tags, curves, signatures."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import Where
from mlporter.catalogue.source_tags import OURS
from mlporter.promotion.checks.facts import MLMODEL, read_mlmodel
from mlporter.reports import limits
from mlporter.reports.reading.curves import Histories, read_curves
from mlporter.reports.reading.signature import SignatureField, signature_of
from mlporter.reports.reading.sizes import FileKey, Sizes, read_sizes
from mlporter.reports.texts import cut
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.progress import OnProgress
    from mlporter.stores.protocols import Source
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["Contents", "RunInfo", "Tags", "last_values", "read_contents", "rows_among", "run_names"]

ModelKey = tuple[str, str]
"""Workspace and name of a registered model."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The first tags of a thing, and how many it has; without those that mlporter itself set."""

    first: tuple[tuple[str, str], ...] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run, and the last values of its metrics."""

    id: str
    name: str
    experiment: int
    status: str
    is_deleted: bool
    user: str
    started: int | None
    ended: int | None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What is shown.

    Attributes:
        runs: The newest runs.
        histories: Metrics of the newest runs of some experiments.
        sizes: Of all files.
        experiment_tags: By experiment.
        model_tags: By model.
        version_tags: By version.
        descriptions: Of models, and of versions under their number.
        signatures: Of the newest version of each model: its number, and its fields.
    """

    runs: tuple[RunInfo, ...] = ()
    histories: Histories = field(default_factory=lambda: Histories({}))
    sizes: Sizes = field(default_factory=Sizes)
    experiment_tags: Mapping[int, Tags] = field(default_factory=dict)
    model_tags: Mapping[ModelKey, Tags] = field(default_factory=dict)
    version_tags: Mapping[VersionKey, Tags] = field(default_factory=dict)
    descriptions: Mapping[ModelKey, str] = field(default_factory=dict)
    signatures: Mapping[ModelKey, tuple[int, tuple[SignatureField, ...]]] = field(
        default_factory=dict
    )


def read_contents(
    source: Source,
    experiments: Sequence[int],
    versions: Mapping[ModelKey, Sequence[int]],
    on_progress: OnProgress,
) -> Contents:
    """What a report shows of a registry.

    Args:
        source: The registry.
        experiments: Those that are shown.
        versions: Of each model that is shown, the numbers of the versions that are.
        on_progress: Told what is read.
    """
    on_progress("reading runs for the report", 0, None)
    newest = _newest_runs(source)
    metrics = last_values(source, [run.id for run in newest])
    runs = tuple(replace(run, metrics=metrics.get(run.id, {})) for run in newest)
    on_progress("reading metrics for the report", 0, None)
    histories = read_curves(source, _charted(runs))
    shown = {(*model, number) for model, numbers in versions.items() for number in numbers}
    files = _mlmodels(source, versions)
    on_progress("listing files for the report", 0, None)
    sizes = read_sizes(source, files.keys())
    return Contents(
        runs,
        histories,
        sizes,
        _tags(source, "experiment_tags", ("experiment_id",), set(experiments), _first),
        _tags(source, "registered_model_tags", ("workspace", "name"), set(versions), _model),
        _tags(source, "model_version_tags", ("workspace", "name", "version"), shown, _model),
        _descriptions(source, versions),
        _signatures(source, files, sizes),
    )


def run_names(source: TableReader, ids: Iterable[str]) -> dict[str, str]:
    """The names of some runs."""
    rows = rows_among(source, "runs", ("run_uuid", "name"), "run_uuid", ids)
    return {run: cut(name or run) for run, name in rows}


def last_values(source: TableReader, ids: Iterable[str]) -> dict[str, dict[str, float]]:
    """The last values of the metrics of some runs; a place without them is asked for histories."""
    asked = list(ids)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    if any(table.name == "latest_metrics" for table in source.tables):
        columns = ("run_uuid", "key", "value", "is_nan")
        for run, key, value, nan in rows_among(
            source, "latest_metrics", columns, "run_uuid", asked
        ):
            if len(found[run]) < limits.METRICS:
                found[run][key] = math.nan if nan else value
        return found
    for (run, key), curve in read_curves(source, asked).curves.items():
        if len(found[run]) < limits.METRICS:
            found[run][key] = curve.last
    return found


def rows_among(
    source: TableReader, table: str, columns: tuple[str, ...], by: str, values: Iterable[Any]
) -> Iterator[tuple[Any, ...]]:
    """Rows in which a column has one of some values, as tuples of columns that the table has."""
    asked = set(values)
    texts = tuple(sorted((one for one in asked if isinstance(one, str)), key=str.encode))
    numbers = tuple(sorted(one for one in asked if isinstance(one, int)))
    among = texts or numbers
    if among and any(entry.name == table for entry in source.tables):
        for batch in source.read(table, columns, Among(by, among)):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


_RUN = ("run_uuid", "name", "experiment_id", "status", "lifecycle_stage", "user_id",
        "start_time", "end_time")  # fmt: skip


def _newest_runs(source: TableReader) -> list[RunInfo]:
    rows = rows_of(source, "runs", _RUN)
    newest = heapq.nlargest(limits.RUNS, rows, key=lambda row: (row[6] or 0, row[0]))
    return [
        RunInfo(
            id_, cut(name or ""), experiment, status or "", stage == "deleted", cut(user or ""),
            started, ended,
        )
        for id_, name, experiment, status, stage, user, started, ended in newest
    ]  # fmt: skip


def _charted(runs: Sequence[RunInfo]) -> list[str]:
    """The newest runs of each experiment that have metrics, as far as there are charts for them."""
    taken: dict[int, list[str]] = defaultdict(list)
    for run in runs:
        if run.metrics and len(taken[run.experiment]) < limits.CURVES:
            taken[run.experiment].append(run.id)
    return [run for of_one in taken.values() for run in of_one][: limits.CHARTED_RUNS]


def _first(row: tuple[Any, ...]) -> int:
    return int(row[0])


def _model(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (row[0] or "default", *row[1:])


def _tags(
    source: TableReader,
    table: str,
    owner: tuple[str, ...],
    wanted: set[Any],
    key_of: Callable[[tuple[Any, ...]], Any],
) -> dict[Any, Tags]:
    first: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    total: dict[Any, int] = defaultdict(int)
    for *key, name, value in rows_of(source, table, (*owner, "key", "value")):
        whose = key_of(tuple(key))
        if whose in wanted and not name.startswith(OURS):
            total[whose] += 1
            if len(first[whose]) < limits.TAGS:
                first[whose].append((name, cut(value or "")))
    return {whose: Tags(tuple(pairs), total[whose]) for whose, pairs in first.items()}


def _descriptions(
    source: TableReader, models: Mapping[ModelKey, Sequence[int]]
) -> dict[ModelKey, str]:
    rows = rows_of(source, "registered_models", ("workspace", "name", "description"))
    return {
        (workspace or "default", name): cut(text)
        for workspace, name, text in rows
        if text and (workspace or "default", name) in models
    }


def _mlmodels(
    source: TableReader, versions: Mapping[ModelKey, Sequence[int]]
) -> dict[FileKey, VersionKey]:
    """Where the file MLmodel of the newest version of each model is."""
    newest = [(*model, max(numbers)) for model, numbers in versions.items() if numbers]
    locations = locations_of(source) if newest else {}
    files: dict[FileKey, VersionKey] = {}
    for key in newest[: limits.SIGNATURES]:
        location = locations.get(key)
        if location is None:
            continue
        if location.where is Where.OWN:
            files["model_version", version_owner_id(key), MLMODEL] = key
        elif location.file_owner is not None:
            owner = location.file_owner
            path = f"{owner.rest}/{MLMODEL}" if owner.rest else MLMODEL
            files[owner.owner_kind, owner.owner_id, path] = key
    return files


def _signatures(
    source: Source, files: Mapping[FileKey, VersionKey], sizes: Sizes
) -> dict[ModelKey, tuple[int, tuple[SignatureField, ...]]]:
    found: dict[ModelKey, tuple[int, tuple[SignatureField, ...]]] = {}
    for key, (workspace, name, number) in files.items():
        if key in sizes.found:
            fields = signature_of(read_mlmodel(source, sizes.found[key]))
            found[workspace, name] = (number, fields)
    return found
