"""What `import`, `copy` and `sync` have in common: one registry into another."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import UnsupportedError, UsageError
from mlporter.execute.files.orphans import check_orphans
from mlporter.execute.files.unreadable_files import check_strict
from mlporter.execute.into_target import into_target
from mlporter.execute.memory import opened_memory
from mlporter.execute.options import (
    TransferOptions,
    check_jobs,
    check_options,
    check_workers_fit,
    reads_runs,
)
from mlporter.execute.phases import OPENING, into_database, into_server
from mlporter.execute.plan_files import check_plan_file, write_plan
from mlporter.plan.policy import InStep, Policy
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import Address, AddressKind, place_text
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.addresses.named_places import names_hint
from mlporter.stores.opening import open_source, refuse_repository, settled
from mlporter.verbs.moving.bundle_places import check_signed
from mlporter.verbs.moving.overlap import check_apart, check_outside
from mlporter.wording import command_line
from mlporter.workers.choice import task_pool

if TYPE_CHECKING:
    from mlporter.execute.result import Result
    from mlporter.progress import OnProgress, Phases
    from mlporter.stores.protocols import Source
    from mlporter.verbs.moving.request import Request

__all__ = ["run_transfer"]


def run_transfer(request: Request, on_progress: OnProgress) -> Result:
    """Plan what `import_`, `copy` or `sync` is asked, and carry it out unless a plan is all.

    Raises:
        MlporterError: as `import_` and `copy` say.
    """
    given = request.arguments
    check_plan_file(request.plan_out)
    origin = settled(locate(request.source, given.get("source_env")))
    place = locate(request.target, given.get("target_env"))
    request = request.into(place)
    if origin.kind is AddressKind.REPOSITORY:
        refuse_repository(origin)
    if request.verb == "import" and origin.kind not in {AddressKind.BUNDLE, AddressKind.SNAPSHOT}:
        raise UsageError(
            "import reads a bundle or a snapshot", subject=str(origin), hint="use mlporter copy"
        )
    if given.get("require_signature") is not None:
        check_signed(origin, given["require_signature"])
    options = _options(request, origin, place)
    result = _transfer(request, origin, place, options, on_progress)
    if result.conflicts or result.misfits or result.unreadable:
        return result
    following = request.next_command or _following((origin, place), options, result)
    return replace(result, next_command=following)


def _options(request: Request, origin: Address, place: Address) -> TransferOptions:
    given = request.arguments

    def users(name: str, side: Address) -> Address | None:
        return None if given.get(name) is None else locate_users(given[name], side)

    def text(name: str) -> str | None:
        return None if given.get(name) is None else place_text(given[name])

    registry = users("registry", origin)
    return TransferOptions(
        text("artifact_root"),
        given["artifacts"],
        tuple(given["uri_map"]),
        given["workers"],
        _policy(request),
        as_selection(given["selection"]),
        include_secrets=given["include_secrets"],
        strict_artifacts=given["strict_artifacts"],
        dry_run=request.only_plans,
        retry_time=given["retry_time"],
        orphans=given.get("orphans", False),
        auth=users("auth", origin),
        registry=registry,
        target_auth=users("target_auth", place),
        include_tables=tuple(given["include_tables"]),
        source_env=given.get("source_env"),
        target_env=given.get("target_env"),
        allow_root=tuple(map(place_text, given.get("allow_root", ()))),
        state=text("state"),
        expected=request.expected,
        jobs=given.get("jobs"),
        processes=given.get("processes"),
        dask=given.get("dask"),
        has_runs=reads_runs(origin, registry),
    )


def _policy(request: Request) -> Policy:
    given = request.arguments
    is_sync = request.verb == "sync"
    return Policy(
        "update" if is_sync else given["on_conflict"],
        tuple(given["rename"]),
        given["to_workspace"],
        given["rename_prefix"],
        undelete=given.get("undelete", False),
        step=InStep(
            delete=given["delete"],
            max_delete=given["max_delete"],
            prefer=given["prefer"],
            full=given["full"],
        )
        if is_sync
        else None,
        force=given["force"],
        rebase=given["rebase"],
        drop_unknown=given.get("drop_unknown", False),
    )


def _transfer(
    request: Request,
    origin: Address,
    place: Address,
    options: TransferOptions,
    on_progress: OnProgress,
) -> Result:
    """Copy a registry into a database or a server."""
    check_options(options.artifacts, options.workers)
    check_jobs(options.jobs, origin, options.registry, place)
    check_workers_fit(options.artifacts, options.processes, options.dask, has_runs=options.has_runs)
    check_strict(options.artifacts, strict_artifacts=options.strict_artifacts)
    check_orphans(options.artifacts, options.selection, orphans=options.orphans)
    _check_target(place)
    if options.registry is not None:
        check_apart(options.registry, place)
    check_apart(origin, place, options)
    if options.auth is not None and options.target_auth is not None:
        check_apart(options.auth, options.target_auth)
    check_outside(origin, place.path, "the target")
    check_outside(origin, options.artifact_root, "the artifact root")
    started = monotonic()
    _phases(place, options, on_progress).begin(OPENING)
    needed = options.has_runs or not options.dry_run
    with (
        task_pool(options.workers, options.processes, options.dask, needed=needed) as pool,
        closing(_opened(origin, replace(options, pool=pool), on_progress)) as opened,
    ):
        chosen = select(opened, options.selection)
        if place.kind is not AddressKind.SERVER:
            options.check(chosen)
        with opened_memory(origin, place, options) as memory:
            memory.whole, memory.lists = opened, request.lists
            result = into_target(
                request.verb,
                chosen,
                place,
                replace(options, pool=pool),
                memory,
                on_progress=on_progress,
                started=started,
            )
            if request.plan_out is not None:
                header = request.header(origin, place)
                write_plan(request.plan_out, header, memory.book, [result])
        return result


def _opened(origin: Address, options: TransferOptions, on_progress: OnProgress) -> Source:
    """The source."""
    return open_source(
        origin,
        uri_map=options.uri_map,
        allow_root=options.allow_root,
        workers=options.workers,
        jobs=options.jobs,
        pool=options.pool,
        include_secrets=options.include_secrets,
        retry_time=options.retry_time,
        part=_reads_a_part(options),
        orphans=options.orphans,
        dedupe=True,
        auth=options.auth,
        registry=options.registry,
        include_tables=options.include_tables,
        on_progress=on_progress,
    )


def _phases(place: Address, options: TransferOptions, on_progress: OnProgress) -> Phases:
    if place.kind is AddressKind.SERVER:
        return into_server(on_progress, dry=options.dry_run)
    copies = options.artifacts == "copy"
    return into_database(on_progress, dry=options.dry_run, copies=copies)


def _reads_a_part(options: TransferOptions) -> bool:
    """Whether less is read, as a rule, than a copy of the whole place would take."""
    some = options.selection is not None and not options.selection.is_everything
    return some or options.policy.is_quick


def _following(places: tuple[Address, Address], options: TransferOptions, result: Result) -> str:
    """What to run now: what was planned, or else what shows that it was done.

    `diff` would not find what has another name now.
    """
    part = options.selection.options() if options.selection else ""
    typed = [place.as_typed for place in places]
    if options.dry_run:
        return command_line(result.verb, typed, options.words(), part)
    if result.renamed:
        return command_line("inspect", typed[1:], [("source-env", options.target_env or "")])
    named = [option for option in options.words() if option[0] == "registry"]
    return command_line("diff", typed, [*named, *options.sides()], part)


def _check_target(place: Address) -> None:
    if place.kind is AddressKind.FILESTORE:
        raise UnsupportedError(
            "is a file store: MLflow is phasing these out, and mlporter does not write them",
            subject=str(place),
            hint="the target is a database: sqlite:///name.db, say",
        )
    if place.kind in {AddressKind.REPOSITORY, AddressKind.SNAPSHOT}:
        raise UsageError(
            "the target is a database or a server; `mlporter export` writes a bundle, and "
            "`mlporter backup` a snapshot",
            subject=str(place),
            hint="name it as sqlite:///name.db, postgresql://user@host/name, "
            "mysql://user@host/name or http://host:5000",
        )
    if place.kind is AddressKind.BUNDLE:
        raise UsageError(
            "the target is a database or a server; a directory is written by `mlporter export`",
            subject=str(place),
            hint=(folder_hint(place.path) if place.path is not None else None)
            or names_hint(place.text)
            or "name it as sqlite:///name.db, postgresql://user@host/name, "
            "mysql://user@host/name or http://host:5000",
        )
