"""`export`: a registry into a bundle."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.bundle.signing import check_private_key
from mlporter.errors import UnsupportedError, UsageError
from mlporter.execute.bundle.transfer import BundleTransfer
from mlporter.execute.files.orphans import check_orphans
from mlporter.execute.files.unreadable_files import check_strict, refuse_unreadable
from mlporter.execute.options import ArtifactsMode, check_options
from mlporter.execute.phases import OPENING, into_bundle
from mlporter.execute.plan_files import check_plan_file
from mlporter.progress import OnProgress, silent
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import settled
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.moving.bundle_places import check_free, replaced_bundle, written_bundle
from mlporter.verbs.moving.overlap import check_outside, check_outside_files
from mlporter.verbs.moving.planned_export import (
    check_planned,
    mode_of,
    needs_workers,
    open_asked,
    plan_export,
)
from mlporter.verbs.moving.request import Request
from mlporter.wording import command_line
from mlporter.workers.choice import task_pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.execute.result import Result
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["export", "run_export"]


def export(
    source: Place,
    bundle: Place,
    *,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    resume: bool = False,
    restart: bool = False,
    include_secrets: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    strict_artifacts: bool = False,
    orphans: bool = False,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    selection: Asked = None,
    sign: str | PathLike[str] | None = None,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Export a registry, or a part of it, to a directory or a place in object storage.

    The source is read in one consistent snapshot, and never changed. Artifact files are read
    after the tables. What could not be copied is in the result and in the bundle's ``left_out``.

    Args:
        source: Address of a database or a tracking server, or the path of a file store.
        bundle: The directory, as a text or a path, or a place in object storage such as
            ``s3://bucket/bundle``; it must be new or empty.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        workers: Tables and files that are read, and requests sent, at a time.
        jobs: So many connections read a large table of PostgreSQL; None is by the processors.
        processes: So many processes of this machine carry files instead of threads.
        dask: The workers of this Dask scheduler do, such as ``tcp://scheduler:8786``; or
            ``local:4`` for four that are started on this machine.
        retry_time: Seconds after which a server that keeps failing is given up.
        resume: Continue an interrupted export in that place. In object storage files are read
            again, and those that are there are not sent again.
        restart: Begin again; a finished bundle in a directory is replaced once the new one is
            whole.
        include_secrets: Copy secrets (encrypted as they are) too; what holds them is readable by
            its owner only.
        auth: Address of the database of its users, if they have one of their own.
        registry: Where its registered models are, if they are in another place.
        strict_artifacts: Refuse, before the directory is made, if files are missing or unreadable.
        orphans: Copy local files too that no row points to; see `inspect`.
        include_tables: Tables of other programs in the same database that are to come, too.
        source_env: What the names of the source's own variables begin with, such as ``DEV_``.
        selection: What to export, with all that it depends on: a `Selection`, or a mapping such
            as ``{"models": ["churn*"]}``; None is everything.
        sign: The file of a private key: the bundle's manifest is signed with it, in the OpenSSF
            model-signing format.
        plan_out: Write the plan to this file, for `apply`, and nothing else.
        dry_run: Count and list what would be exported, and write nothing.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: the place is used, the source cannot be read by this release, something
            that is asked for is not there, or files are missing (`strict_artifacts`).
        UnreachableError: the source cannot be reached, or the disk is full.
        BundleInUseError: another process writes into that directory.
    """
    arguments = {
        "artifacts": artifacts,
        "uri_map": uri_map,
        "allow_root": allow_root,
        "workers": workers,
        "jobs": jobs,
        "processes": processes,
        "dask": dask,
        "retry_time": retry_time,
        "resume": resume,
        "restart": restart,
        "include_secrets": include_secrets,
        "auth": auth,
        "registry": registry,
        "strict_artifacts": strict_artifacts,
        "orphans": orphans,
        "include_tables": include_tables,
        "source_env": source_env,
        "selection": selection,
        "sign": sign,
        "plan_out": plan_out,
        "dry_run": dry_run,
    }
    return run_export(Request("export", source, bundle, arguments), on_progress)


def run_export(request: Request, on_progress: OnProgress) -> Result:
    """Look at what `export` is asked, and carry it out unless a plan is all.

    Raises:
        MlporterError: as `export` says.
    """
    given = request.arguments
    check_plan_file(request.plan_out)
    place = _checked_place(request)
    started = monotonic()
    origin = settled(locate(request.source, given["source_env"]))
    check_outside(origin, place, "the bundle")
    into_bundle(on_progress, copies=given["artifacts"] == "copy").begin(OPENING)
    chosen = as_selection(given["selection"])
    part = chosen is not None and not chosen.is_everything
    needed = needs_workers(origin, given) or not request.only_plans
    with ExitStack() as stack:
        pool = stack.enter_context(
            task_pool(given["workers"], given["processes"], given["dask"], needed=needed)
        )
        opened = open_asked(origin, given, part=part, pool=pool, on_progress=on_progress)
        stack.callback(opened.close)
        check_outside_files(opened, origin, place, "the bundle")
        opened = select(opened, chosen)
        if given["strict_artifacts"]:
            refuse_unreadable(opened, workers=given["workers"], on_progress=on_progress)
        mode = mode_of(given)
        if request.only_plans:
            check_free(place, mode)
        replaced = replaced_bundle(place, mode) if request.lists else None
        if request.only_plans:
            return plan_export(
                request, opened, origin, place, replaced=replaced, on_progress=on_progress
            )
        check_planned(request, opened, replaced)
        writer = stack.enter_context(
            written_bundle(
                place,
                mode,
                opened.description.address,
                workers=given["workers"],
                key=None if given["sign"] is None else str(given["sign"]),
                on_progress=on_progress,
            )
        )
        if place.path is not None:
            pool.check_sees(str(writer.path))
        work = BundleTransfer(
            opened,
            writer,
            given["artifacts"],
            given["workers"],
            given["include_secrets"],
            on_progress,
            pool=pool,
        )
        work.run()
    following = command_line("verify", [place.typed or str(place)], ())
    return work.result("export", str(place), following, monotonic() - started)


def _checked_place(request: Request) -> Address:
    """The directory, if what is asked for makes sense.

    Raises:
        UsageError: it does not.
    """
    given, place = request.arguments, locate(request.target)
    check_options(given["artifacts"], given["workers"])
    check_strict(given["artifacts"], strict_artifacts=given["strict_artifacts"])
    selection = as_selection(given["selection"])
    check_orphans(given["artifacts"], selection, orphans=given["orphans"])
    if given["uri_map"] and given["artifacts"] == "reference":
        raise UsageError(
            "a bundle keeps the artifact URIs as they are, and --map-uri would change nothing",
            hint="give --map-uri to the import of the bundle",
        )
    if place.kind is AddressKind.FILESTORE:
        raise UnsupportedError(
            "is a file store, which is never written to",
            subject=str(place),
            hint="name a new directory for the bundle",
        )
    if place.kind is AddressKind.REPOSITORY and place.path is None:
        place = replace(place, kind=AddressKind.BUNDLE)
    if place.kind in {AddressKind.REPOSITORY, AddressKind.SNAPSHOT}:
        raise UsageError(
            "is a repository of snapshots, which `mlporter backup` writes",
            subject=str(place),
            hint="name a new directory for the bundle",
        )
    if place.kind is not AddressKind.BUNDLE:
        raise UsageError(
            "a bundle is a directory, or a place in object storage", subject=str(place)
        )
    if given["resume"] and given["restart"]:
        raise UsageError("resume and restart exclude each other")
    if given["sign"] is not None:
        check_private_key(str(given["sign"]))
    return place
