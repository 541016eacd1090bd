"""From an address to the place behind it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from mlporter.artifacts.disk.presence import is_folder
from mlporter.artifacts.uris.uri_text import local_path
from mlporter.bundle.storage.bundle_place import check_there
from mlporter.closing import closed_on_error
from mlporter.errors import UnreachableError, UsageError
from mlporter.progress import silent
from mlporter.redaction import redact
from mlporter.stores.addresses.address import Address, AddressKind, parse_address, place_text
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.addresses.named_places import names_hint
from mlporter.stores.addresses.same_place import is_same_place
from mlporter.stores.needing_mlflow import needing_mlflow
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.stores.views.dedupe import Deduplicated
from mlporter.stores.views.foreign_tables import without_foreign
from mlporter.stores.views.separate_registry import WithRegistry
from mlporter.stores.views.without_secrets import WithoutSecrets
from mlporter.workers.choice import usual_jobs
from mlporter.workers.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlporter.progress import OnProgress
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.bundles.bundle_source import BundleSource
    from mlporter.stores.protocols import Source
    from mlporter.workers.task_pool import TaskPool

    class _Opened(Protocol):
        def __call__(self, place: Address, *, orphans: bool) -> Source: ...


__all__ = ["allowed_folder", "hinting_what_is_there", "open_bundle", "open_source"]
__all__ += ["refuse_repository", "settled"]


def open_source(  # noqa: PLR0913 -- what a caller may ask for, by keyword
    address: Address | str,
    *,
    uri_map: tuple[str, ...] = (),
    workers: int = 4,
    jobs: int | None = 1,
    pool: TaskPool | None = None,
    include_secrets: bool = False,
    retry_time: float = RETRY_TIME,
    part: bool = False,
    orphans: bool = False,
    dedupe: bool = False,
    auth: Address | None = None,
    registry: Address | None = None,
    include_tables: tuple[str, ...] | None = None,
    allow_root: Sequence[Place] = (),
    on_progress: OnProgress = silent,
) -> Source:
    """Open a bundle, a database, a file store or a tracking server; the caller closes it.

    Args:
        address: Where, and by which variables; see `mlporter.stores.addresses.address`.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found; without any,
            those of the place in the config file.
        workers: How many places are listed, and requests sent, at a time.
        jobs: So many connections read a large table of PostgreSQL; None is by the processors.
        pool: Who reads the runs of a file store, if not so many threads.
        include_secrets: Read secret columns and tables too.
        retry_time: Seconds after which a server that keeps failing is given up.
        part: Only a part will be read, and no other source of the same file beside.
        dedupe: For a place with keys: leave away rows that are exactly like another.
        orphans: List also files that no row points to; a bundle lists those that it holds.
        auth: Address of the database of its users, where they have one of their own.
        registry: Where its registered models are, if not here: a place as `address`.
        allow_root: Folders of this machine that files may be read from, though they are no
            artifact roots of the registry.
        include_tables: Leave out tables that are not MLflow's, but for these; None keeps all.
        on_progress: Called with how far reading is, where all is read before rows are given.

    Raises:
        UsageError: it is no address.
        UnreachableError: there is nothing, or no way to it.
        RefusedError: it is not a registry, or one that this release does not read.
        BundleError: it is a bundle that cannot be used.
    """
    allowed = tuple(map(allowed_folder, allow_root))

    def opened(place: Address, *, orphans: bool) -> Source:
        mapped = place.map_or(uri_map)
        if place.kind in {AddressKind.BUNDLE, AddressKind.SNAPSHOT}:
            return _open_bundle(place, dedupe=dedupe)
        if place.kind is AddressKind.REPOSITORY:
            refuse_repository(place)
        if place.kind is AddressKind.FILESTORE:
            return _open_file_store(
                place,
                mapped,
                pool or Threads(workers),
                workers,
                allowed,
                on_progress,
                orphans=orphans,
                dedupe=dedupe,
            )
        if place.kind is AddressKind.SERVER:
            return _open_server(place, mapped, workers, allowed, retry_time, on_progress)
        several = usual_jobs() if jobs is None else jobs
        return _open_database(
            place, mapped, workers, allowed, orphans=orphans, part=part, jobs=several
        )

    place = settled(parse_address(address) if isinstance(address, str) else address)
    registry = None if registry is None else settled(registry)
    if registry is None:
        source = opened(place, orphans=orphans)
    else:
        source = _with_registry(place, registry, opened, orphans)
    if auth is not None:
        source = _with_users(source, auth)
    if include_tables is not None:
        with closed_on_error(source):
            source = without_foreign(source, include_tables)
    return source if include_secrets else WithoutSecrets(source, include_tables or ())


def _with_registry(
    place: Address,
    registry: Address,
    opened: _Opened,
    orphans: bool,  # noqa: FBT001
) -> Source:
    """Two places as one; the registry is seen first, so that the runs of its versions are there.

    Raises:
        UsageError: they are the same.
    """
    if is_same_place(place, registry):
        raise UsageError(
            "the registered models are to be read from where everything is read",
            subject=str(registry),
            hint="leave --registry out, or name the database of `--registry-store-uri` with it",
        )
    models = opened(registry, orphans=False)
    with closed_on_error(models):
        return WithRegistry(opened(place, orphans=orphans), models)


def allowed_folder(folder: Place) -> Path:
    """A folder that the user named.

    Raises:
        UsageError: there is none.
    """
    text = place_text(folder)
    path = local_path(text)
    if path is None or not is_folder(path):
        raise UsageError(
            "is no folder of this machine, as --allow-root takes one",
            subject=redact(text),
            hint="for files that are elsewhere: --map-uri FROM=TO",
        )
    return path


def _with_users(source: Source, auth: Address) -> Source:
    from mlporter.stores.database.auth_database import WithUsers, open_auth  # noqa: PLC0415 -- drivers

    with closed_on_error(source):
        return WithUsers(source, open_auth(auth))


def open_bundle(place: Address) -> BundleSource:
    """Open a bundle or a snapshot as what it is, without views around it; the caller closes it.

    Raises:
        UsageError, UnreachableError, BundleError: as `open_source`.
    """
    from mlporter.stores.bundles.bundle_source import BundleSource  # noqa: PLC0415
    from mlporter.stores.bundles.repository_places import storage_of  # noqa: PLC0415
    from mlporter.stores.bundles.stored_bundle import StoredBundle  # noqa: PLC0415

    place = settled(place)
    if place.kind is AddressKind.SNAPSHOT:
        return _open_snapshot(place)
    if place.kind is AddressKind.REPOSITORY:
        refuse_repository(place)
    if place.path is None:
        return StoredBundle(storage_of(place))
    with hinting_what_is_there(place):
        return BundleSource(place.path)


def _open_bundle(place: Address, *, dedupe: bool) -> Source:
    source = open_bundle(place)
    has_keys = source.manifest.source.kind != AddressKind.FILESTORE.value
    return Deduplicated(source) if dedupe and not has_keys else source


def settled(place: Address) -> Address:
    """A place that has been asked whether a bundle lies there, if only it can tell.

    Raises:
        UnreachableError: it does not answer.
        UnsupportedError: the package for its scheme is not installed.
    """
    if place.kind is not AddressKind.REPOSITORY or place.path is not None:
        return place
    from mlporter.stores.bundles.repository_places import is_stored_bundle  # noqa: PLC0415

    return replace(place, kind=AddressKind.BUNDLE) if is_stored_bundle(place) else place


def refuse_repository(place: Address) -> NoReturn:
    """Say what to name where one registry is meant, and not a whole repository.

    Raises:
        UsageError: it is a repository, or object storage that holds something else.
        UnreachableError: there is nothing.
    """
    from mlporter.repository.repository import is_repository  # noqa: PLC0415
    from mlporter.stores.bundles.repository_places import storage_of  # noqa: PLC0415

    typed, latest = place.as_typed.rstrip("/"), "/@latest" if place.path is not None else "@latest"
    if place.path is None and not is_repository(storage_of(place)):
        try:
            check_there(storage_of(place))
        except UsageError as error:
            error.hint = f"where only artifacts are left: mlporter rebuild {typed} TARGET"
            raise
    raise UsageError(
        "is a repository of snapshots, not one registry",
        subject=str(place),
        hint=f"name a snapshot, such as {typed}{latest}; mlporter snapshots {typed} lists them",
    )


def _open_snapshot(place: Address) -> BundleSource:
    from mlporter.repository.repository import Repository  # noqa: PLC0415
    from mlporter.stores.bundles.repository_places import identity_of, storage_of  # noqa: PLC0415
    from mlporter.stores.bundles.snapshot_source import SnapshotSource  # noqa: PLC0415

    repository = Repository.open(storage_of(place), identity_of(place))
    return SnapshotSource(repository, place.snapshot)


def _open_file_store(  # noqa: PLR0913, PLR0917 -- as `open_source`
    place: Address,
    uri_map: tuple[str, ...],
    pool: TaskPool,
    workers: int,
    allowed: tuple[Path, ...],
    on_progress: OnProgress,
    *,
    orphans: bool,
    dedupe: bool,
) -> Source:
    from mlporter.stores.filestore.source import FileStoreSource  # noqa: PLC0415

    source = FileStoreSource(
        place,
        uri_map=uri_map,
        workers=workers,
        pool=pool,
        orphans=orphans,
        allowed=allowed,
        on_progress=on_progress,
    )
    return Deduplicated(source) if dedupe and source.repeats else source


def _open_database(  # noqa: PLR0913 -- as `open_source`
    place: Address,
    uri_map: tuple[str, ...],
    workers: int,
    allowed: tuple[Path, ...],
    *,
    orphans: bool,
    part: bool,
    jobs: int,
) -> Source:
    # Drivers are loaded for databases only: bundles can be read on a machine without them.
    from mlporter.stores.database.source import DatabaseSource  # noqa: PLC0415

    return DatabaseSource(
        place,
        uri_map=uri_map,
        workers=workers,
        orphans=orphans,
        part=part,
        allowed=allowed,
        jobs=jobs,
    )


def _open_server(  # noqa: PLR0913, PLR0917 -- as `open_source`
    place: Address,
    uri_map: tuple[str, ...],
    workers: int,
    allowed: tuple[Path, ...],
    retry_time: float,
    on_progress: OnProgress,
) -> Source:
    # MLflow takes seconds to import, which its credentials need.
    with needing_mlflow("a tracking server", str(place)):
        from mlporter.stores.server.source import ServerSource  # noqa: PLC0415

    return ServerSource(
        place,
        uri_map=uri_map,
        workers=workers,
        retry_time=retry_time,
        allowed=allowed,
        on_progress=on_progress,
    )


@contextmanager
def hinting_what_is_there(place: Address) -> Iterator[None]:
    """Open a bundle; where it is none, the error says what its folder holds instead."""
    try:
        yield
    except (UsageError, UnreachableError) as error:
        if error.hint is None and place.path is not None:
            error.hint = folder_hint(place.path) or names_hint(place.text)
        raise
