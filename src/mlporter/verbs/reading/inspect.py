"""`inspect`: what is in a place, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.catalogue import release_of
from mlporter.catalogue.tables.own import LEFT_OUT
from mlporter.execute.files.orphans import Orphans, find_orphans
from mlporter.execute.result import LEFT_OUT_SHOWN
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, Phases, silent
from mlporter.reports.report_file import check_report_file
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.bundles.bundle_source import BundleSource
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import USERS_NOT_SEEN, TellsOutside, Wrapped
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.rows.unknown_fields import said_of
from mlporter.stores.rows.version_locations import rows_of
from mlporter.verbs.reports import write_inspection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from mlporter.bundle.documents.manifest import Manifest
    from mlporter.errors import LeftOut
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Source

__all__ = [
    "ExperimentInfo",
    "FilesInfo",
    "Inventory",
    "ModelInfo",
    "TableInfo",
    "VersionInfo",
    "inspect",
]


_OPENING = "opening"
_SEARCHING = "looking for files of nobody"
_COUNTING = "counting"
_LISTING = "listing files"


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table: how it is treated (see `mlporter.catalogue.types.Kind`), and its rows."""

    name: str
    kind: str
    rows: int


@dataclass(frozen=True, slots=True)
class ExperimentInfo:
    """An experiment; ``runs`` counts the active ones."""

    workspace: str
    id: int
    name: str
    lifecycle_stage: str
    runs: int
    deleted_runs: int
    logged_models: int
    traces: int


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A model version with its stage, aliases and where it came from."""

    version: int
    stage: str
    status: str
    run_id: str | None
    aliases: tuple[str, ...]
    source: str | None


@dataclass(frozen=True)
class ModelInfo:
    """A registered model or prompt with its versions, ascending."""

    workspace: str
    name: str
    is_prompt: bool
    aliases: dict[str, int]
    versions: tuple[VersionInfo, ...]


@dataclass(frozen=True, slots=True)
class FilesInfo:
    """Artifact files of a bundle: how they were treated, how many, and their bytes."""

    mode: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Inventory(Shown):
    """What is in a place.

    ``revision`` is that of the tables as they are read, and
    ``stored_revision`` the place's own, where it is an older one. ``artifacts`` is None where
    counting would mean listing every store.

    ``as_found`` says what was taken as it was found, of a schema that this release does not know;
    ``notes`` what else there is to know, such as fields of a newer MLflow's answers, counted.
    ``orphans`` are local files that no row points to, which are counted anyway. ``losses`` are
    the first things of ``left_out`` of a place that is no bundle.
    """

    address: str
    kind: str
    revision: str
    mlflow_release: str | None
    consistency: str
    workspaces: tuple[str, ...]
    tables: tuple[TableInfo, ...]
    experiments: tuple[ExperimentInfo, ...]
    models: tuple[ModelInfo, ...]
    artifacts: FilesInfo | None = None
    orphans: Orphans = field(default_factory=Orphans)
    left_out: int = 0
    losses: tuple[LeftOut, ...] = ()
    bundle_id: str | None = None
    created: str | None = None
    stored_revision: str | None = None
    stored_release: str | None = None
    as_found: str | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return asdict(self)


def inspect(
    address: Place,
    *,
    auth: Place | None = None,
    registry: Place | None = None,
    allow_root: Sequence[Place] = (),
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    html: str | PathLike[str] | None = None,
    on_progress: OnProgress = silent,
) -> Inventory:
    """Count what is in a bundle or a database; nothing is changed.

    Args:
        address: Where to look.
        auth: Address of the database of its users, if they have one of their own.
        registry: Where its registered models are, if they are in another place.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the place's own variables begin with, such as ``DEV_``.
        html: Write a report to this file, too; all artifact files are listed for it.
        on_progress: Called with how far it is.

    Raises:
        MlporterError: as `mlporter.stores.opening.open_source`.
    """
    report = check_report_file(html)
    place = locate(address, source_env)
    phases = Phases(on_progress, (_OPENING, _SEARCHING, _COUNTING, *([_LISTING] if html else [])))
    phases.begin(_OPENING)
    source = open_source(
        place,
        retry_time=retry_time,
        orphans=True,
        auth=None if auth is None else locate_users(auth, place),
        registry=None if registry is None else locate_users(registry, place),
        allow_root=allow_root,
        on_progress=on_progress,
    )
    try:
        inventory = _inventory(source, phases)
        if report is not None:
            phases.begin(_LISTING)
            write_inspection(inventory, source, report, on_progress)
        return inventory
    finally:
        source.close()


def _inventory(source: Source, phases: Phases) -> Inventory:
    place = source.description
    manifest = _manifest(source)
    unseen: list[LeftOut] = []
    phases.begin(_SEARCHING)
    orphans = find_orphans(source, unseen.append)
    tables = []
    phases.begin(_COUNTING)
    for done, table in enumerate(source.tables):
        phases.on_progress("counting rows", done, len(source.tables), "tables")
        tables.append(TableInfo(table.name, table.kind.value, source.count(table.name)))
    phases.on_progress("counting rows", len(tables), len(tables), "tables")
    workspaces = tuple(name for (name,) in rows_of(source, "workspaces", ("name",)))
    # Now, as a server tells with its answers what of them is not known.
    losses = list(source.losses())
    if manifest is None:  # what a bundle left out is in a table of its own, which is counted
        losses += [*unseen, *_outside(source)]
    return Inventory(
        address=place.address,
        kind=place.kind,
        revision=place.revision,
        mlflow_release=release_of(place.revision),
        consistency=place.consistency,
        stored_revision=place.stored_revision,
        stored_release=release_of(place.stored_revision) if place.stored_revision else None,
        as_found=place.as_found,
        notes=tuple(_notes(source)),
        workspaces=workspaces or ("default",),
        tables=tuple(tables),
        experiments=_experiments(source),
        models=_models(source),
        artifacts=_files(manifest),
        orphans=orphans,
        left_out=source.count(LEFT_OUT.name) if manifest else len(losses),
        losses=tuple(losses[:LEFT_OUT_SHOWN]),
        bundle_id=place.bundle_id,
        created=str(manifest.finished) if manifest else None,
    )


def _notes(source: Source) -> Iterator[str]:
    """What is to be said of what was read; of a bundle the export said it, but for this."""
    said = {source.description.as_found, USERS_NOT_SEEN}
    for note in dict.fromkeys((*source.notes, *said_of(source))):
        if note not in said:
            yield note


def _outside(source: Source) -> Iterator[LeftOut]:
    """Owners whose files nobody reads without being told to."""
    if isinstance(source, TellsOutside):
        yield from source.outside()


def _manifest(source: Source) -> Manifest | None:
    inner = source
    while isinstance(inner, Wrapped):
        inner = inner.inner
    return inner.manifest if isinstance(inner, BundleSource) else None


def _files(manifest: Manifest | None) -> FilesInfo | None:
    if manifest is None:
        return None
    totals = manifest.artifacts
    return FilesInfo(totals.mode, totals.files, totals.bytes)


def _experiments(source: Source) -> tuple[ExperimentInfo, ...]:
    runs: Counter[tuple[int, bool]] = Counter()
    for experiment, stage in rows_of(source, "runs", ("experiment_id", "lifecycle_stage")):
        runs[experiment, stage == "deleted"] += 1
    logged = Counter(row[0] for row in rows_of(source, "logged_models", ("experiment_id",)))
    traces = Counter(row[0] for row in rows_of(source, "trace_info", ("experiment_id",)))
    columns = ("experiment_id", "workspace", "name", "lifecycle_stage")
    return tuple(
        ExperimentInfo(
            workspace or "default",
            experiment,
            name,
            stage,
            runs[experiment, False],
            runs[experiment, True],
            logged[experiment],
            traces[experiment],
        )
        for experiment, workspace, name, stage in rows_of(source, "experiments", columns)
    )


_Model = tuple[str, str]
_VERSION = ("workspace", "name", "version", "current_stage", "status", "run_id", "source")


def _models(source: Source) -> tuple[ModelInfo, ...]:
    aliases: dict[_Model, dict[str, int]] = defaultdict(dict)
    for ws, name, alias, version in rows_of(
        source, "registered_model_aliases", ("workspace", "name", "alias", "version")
    ):
        aliases[ws, name][alias] = version
    prompts = {
        (ws, name)
        for ws, name, key, value in rows_of(
            source, "registered_model_tags", ("workspace", "name", "key", "value")
        )
        if key == "mlflow.prompt.is_prompt" and value == "true"
    }
    versions: dict[_Model, list[VersionInfo]] = defaultdict(list)
    for ws, name, version, stage, status, run, uri in rows_of(source, "model_versions", _VERSION):
        named = tuple(sorted(a for a, v in aliases[ws, name].items() if v == version))
        entry = VersionInfo(version, stage or "None", status or "", run or None, named, uri)
        versions[ws, name].append(entry)
    return tuple(
        ModelInfo(
            ws or "default",
            name,
            (ws, name) in prompts,
            aliases[ws, name],
            tuple(versions[ws, name]),
        )
        for ws, name in rows_of(source, "registered_models", ("workspace", "name"))
    )
