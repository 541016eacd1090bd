"""`unpack`: artifacts of a bundle as plain folders, for people and for other tools."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.portable_names import NAMES, PortableNames
from mlporter.artifacts.disk.write_log import WriteLog
from mlporter.artifacts.places import LocalPlace
from mlporter.bundle.folder.atomic import disk_errors
from mlporter.errors import LeftOut, RefusedError, UsageError
from mlporter.execute.findings.left_out import LeftOutCollector
from mlporter.execute.result import FilesResult, Result
from mlporter.progress import OnProgress, Phases, silent
from mlporter.selection.artifacts import folder_of_version, has_row
from mlporter.selection.versions import VersionChoice, choose_versions
from mlporter.stores.addresses.address import AddressKind, place_text
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import open_bundle, refuse_repository, settled
from mlporter.stores.rows.version_locations import locations_of, version_owner_id
from mlporter.verbs.moving.overlap import check_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.stores.addresses.address import Place
    from mlporter.stores.bundles.bundle_source import BundleSource
    from mlporter.stores.protocols import ArtifactFile

__all__ = ["unpack"]


_OPENING = "opening"
_UNPACKING = "unpacking"
_FINISHING = "finishing"
_PLACES = 16
"""Folders of owners that are kept open: files come owner by owner."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Files of one owner below a path, and the folder they go to."""

    owner_kind: str
    owner_id: str
    below: str
    folder: tuple[str, ...]


def unpack(
    bundle: Place,
    directory: Place,
    *,
    model: str | None = None,
    version: str | None = None,
    run: str | None = None,
    on_progress: OnProgress = silent,
) -> Result:
    """Write artifacts of a bundle as plain files.

    A model's versions go to ``DIRECTORY/<model>/<version>/``, where MLflow loads them from with
    ``mlflow.pyfunc.load_model(path)``; a run's to ``DIRECTORY/runs/<run id>/``. Without a choice
    everything goes to ``DIRECTORY/<owner kind>s/<owner id>/``. A name that not every file system
    takes is changed, and ``DIRECTORY/names.jsonl`` says what it was.

    Args:
        bundle: The directory that `export` wrote, or a snapshot of a repository.
        directory: Where to; made if it is not there. Files that are there are never changed.
        model: A registered model's name.
        version: One of its versions: a number, ``latest``, ``@alias`` or a stage.
        run: A run's id.
        on_progress: Called with how far it is.

    Raises:
        UsageError: no such model, version or run; or a version without a model.
        RefusedError: another file is in the way; what was written before it stays.
        BundleError: the bundle is damaged or unfinished.
    """
    place, directory = settled(locate(bundle)), place_text(directory)
    if place.kind is AddressKind.REPOSITORY:
        refuse_repository(place)
    if place.kind not in {AddressKind.BUNDLE, AddressKind.SNAPSHOT}:
        raise UsageError("unpack reads a bundle or a snapshot", subject=str(place))
    if version is not None and model is None:
        raise UsageError("--version needs --model", hint="name the registered model")
    if model is not None and run is not None:
        raise UsageError("--model and --run exclude each other")
    check_outside(place, Path(directory), "the directory")
    started, phases = monotonic(), Phases(on_progress, (_OPENING, _UNPACKING, _FINISHING))
    phases.begin(_OPENING)
    source = open_bundle(place)
    left_out = LeftOutCollector()
    with closing(source):
        if model is not None:
            pieces = list(_of_model(source, model, version, left_out.add))
        elif run is not None:
            pieces = [_of_run(source, run)]
        else:
            pieces = None
        with closing(PortableNames(keep=pieces is not None)) as names:
            files = _write(source, Path(directory), pieces, names, phases)
            notes = _note_changes(Path(directory), names)
    return Result(
        verb="unpack",
        source=str(place),
        target=directory,
        tables=(),
        files=files,
        left_out=left_out.summary(),
        notes=notes,
        seconds=monotonic() - started,
        next_command=f"ls {quote(directory)}",
    )


def _of_model(
    source: BundleSource, model: str, version: str | None, report: Callable[[LeftOut], None]
) -> Iterator[_Piece]:
    locations = locations_of(source)
    for key in choose_versions(source, VersionChoice(model, version)):
        workspace, name, number = key
        folder: tuple[str, ...] = (name, str(number))
        if workspace != "default":
            folder = ("workspaces", workspace, *folder)
        found = locations[key]
        files = folder_of_version(key, found)
        if files is not None:
            yield _Piece(*files, folder)
        else:
            sentence = f"it has no files: {found.reason}"
            expected = found.is_sound
            report(
                LeftOut("model_version", version_owner_id(key), "", "missing", sentence, expected)
            )


def _of_run(source: BundleSource, run: str) -> _Piece:
    if not has_row(source, "runs", "run_uuid", run):
        raise UsageError(f"there is no run {run!r}", subject=source.where)
    return _Piece("run", run, "", ("runs", run))


def _write(
    source: BundleSource,
    root: Path,
    pieces: list[_Piece] | None,
    names: PortableNames,
    phases: Phases,
) -> FilesResult:
    phases.begin(_UNPACKING)
    count = size = there = 0
    total = source.manifest.artifacts.bytes if pieces is None else None
    log = WriteLog()
    place_of = lru_cache(_PLACES)(lambda folder: LocalPlace(root / folder, log))
    for file in source.files(lambda _: None):
        for owner, below in _destinations(file, pieces):
            folder, path = names.place(owner, below)
            with source.open_file(file) as stream:
                written = place_of(folder).put(path, stream)
            count += 1
            size += file.size
            there += not written.created
            phases.on_progress("unpacking files", size, total, "bytes")
    phases.begin(_FINISHING)
    with disk_errors(root):
        log.sync()
    if pieces is not None and pieces and not count:
        raise RefusedError(
            "the bundle holds no files of it",
            subject=source.where,
            hint="see `mlporter show BUNDLE left_out`; it may have been exported without files",
        )
    return FilesResult("copy", count, size, there)


def _note_changes(root: Path, names: PortableNames) -> tuple[str, ...]:
    if not names.changed:
        return ()
    LocalPlace(root).put(NAMES, BytesIO(names.changes()))
    what = "1 name was" if names.changed == 1 else f"{names.changed} names were"
    return (f"{what} changed to what any file system takes; {NAMES} says which.",)


def _destinations(
    file: ArtifactFile, pieces: list[_Piece] | None
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The parts of the folders that a file goes to, and its path there."""
    if pieces is None:
        yield (f"{file.owner_kind}s", *file.owner_id.split("/")), file.path
        return
    for piece in pieces:
        if (piece.owner_kind, piece.owner_id) != (file.owner_kind, file.owner_id):
            continue
        if not piece.below:
            yield piece.folder, file.path
        elif file.path.startswith(f"{piece.below}/"):
            yield piece.folder, file.path[len(piece.below) + 1 :]
