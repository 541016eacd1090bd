"""`import` and `copy`: a registry into a database."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import UnsupportedError, UsageError
from mlporter.execute.dangling import WithoutDangling
from mlporter.execute.database.transfer import DatabaseTransfer
from mlporter.execute.options import ArtifactsMode, TransferOptions, check_options
from mlporter.execute.orphans import check_orphans
from mlporter.execute.remarks import look_through
from mlporter.execute.unreadable_files import check_strict
from mlporter.plan.policy import OnConflict, Policy
from mlporter.progress import OnProgress, silent
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import Address, AddressKind, place_text
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.addresses.mistypings import folder_hint
from mlporter.stores.addresses.named_places import names_hint
from mlporter.stores.opening import open_source
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.command_line import command_line
from mlporter.verbs.overlap import check_apart, check_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.execute.result import Result
    from mlporter.selection import Asked
    from mlporter.stores.addresses.address import Place
    from mlporter.stores.protocols import Source

__all__ = ["copy", "import_"]


def import_(
    bundle: Place,
    target: Place,
    *,
    artifact_root: Place | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    workers: int = 4,
    retry_time: float = RETRY_TIME,
    include_secrets: bool = False,
    target_auth: Place | None = None,
    strict_artifacts: bool = False,
    include_tables: Sequence[str] = (),
    target_env: str | None = None,
    selection: Asked = None,
    on_conflict: OnConflict = "fail",
    undelete: bool = False,
    rename: Sequence[str] = (),
    rename_prefix: str = "",
    to_workspace: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Import a bundle into a database or a tracking server.

    Into a database everything goes, or nothing. Where it has no tables, MLflow's own code creates
    them. Where it is in use, what is there already and equal is left as it is; nothing in it is
    ever changed or deleted. Rows go in in one transaction, are read back and compared, and are only
    then committed. Files that no row points to go to the folder ``orphans``.

    A server takes no transaction: what it lacks is sent, in the order that works, and is read back
    and compared. An import that was stopped goes on where it was if it is run again.

    Args:
        bundle: The directory that `export` wrote.
        target: Address of a database or a server.
        artifact_root: Where a database's files are kept; URIs are rewritten to it. Needed where
            files are copied; a server decides itself.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs: where places below `artifact_root` are really reached from here.
        workers: Files that are written at a time.
        retry_time: Seconds after which a server that keeps failing is given up.
        include_secrets: Carry secrets too, if the bundle has them; and so passwords of users,
            without which users that the target has not are left out.
        target_auth: Address of the target's database of users, if they have one of their own.
        strict_artifacts: Refuse, before the target is touched, if files are missing or unreadable.
        include_tables: Tables of other programs that are to come, too; the target's are empty.
        target_env: What the names of the target's own variables begin with, such as ``PROD_``.
        selection: What to carry, with all that it depends on: a `Selection`, or a mapping such as
            ``{"models": ["churn*"]}``; None is everything.
        on_conflict: What to do with what the target has another one of: ``fail`` refuses the
            whole, ``skip`` leaves it out and says so, ``rename`` carries it under another name
            or id.
        undelete: Restore what the target has only marked as deleted, and the source has not. What
            it purged (``mlflow gc``) is carried anew, and needs no such wish.
        rename: ``OLD=NEW`` pairs: new names of experiments and registered models.
        rename_prefix: What goes before the names of experiments: a folder, on Databricks.
        to_workspace: The workspace that everything goes to; None keeps them.
        dry_run: Plan, and write nothing.
        on_progress: Told how far it is.

    Raises:
        ConflictError: the target has something else under a name or an id; nothing was written.
        RefusedError: the target cannot hold a value; nothing was written.
        BundleError: the bundle is damaged or unfinished.
        UnreachableError: the target cannot be reached, or refused a row; nothing was kept.
    """
    origin, place = locate(bundle), locate(target, target_env)
    if origin.kind is not AddressKind.BUNDLE:
        raise UsageError("import reads a bundle", subject=str(origin), hint="use mlporter copy")
    options = TransferOptions(
        None if artifact_root is None else place_text(artifact_root),
        artifacts,
        tuple(uri_map),
        workers,
        Policy(on_conflict, tuple(rename), to_workspace, rename_prefix, undelete=undelete),
        as_selection(selection),
        include_secrets=include_secrets,
        strict_artifacts=strict_artifacts,
        dry_run=dry_run,
        retry_time=retry_time,
        target_auth=None if target_auth is None else locate_users(target_auth, place),
        include_tables=tuple(include_tables),
        target_env=target_env,
    )
    return _transfer("import", origin, place, options, on_progress)


def copy(
    source: Place,
    target: Place,
    *,
    artifact_root: Place | None = None,
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    retry_time: float = RETRY_TIME,
    include_secrets: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    target_auth: Place | None = None,
    strict_artifacts: bool = False,
    orphans: bool = False,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    target_env: str | None = None,
    selection: Asked = None,
    on_conflict: OnConflict = "fail",
    undelete: bool = False,
    rename: Sequence[str] = (),
    rename_prefix: str = "",
    to_workspace: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> Result:
    """Copy a registry straight into a database or a tracking server.

    As `export` and `import_` in one, with nothing in between. `uri_map` says where artifact URIs
    of both sides are really found. `allow_root` names folders of this machine that the source's
    files may be read from, though it keeps none there. `orphans` carries local files too that no
    row points to: they go to the folder ``orphans`` of the artifact root. `auth` is the address of
    the source's database of users, if they have one of their own. `source_env` is what the names
    of the source's own variables begin with, such as ``DEV_``. Other arguments and errors are
    those of `import_`.
    """
    origin, place = locate(source, source_env), locate(target, target_env)
    options = TransferOptions(
        None if artifact_root is None else place_text(artifact_root),
        artifacts,
        tuple(uri_map),
        workers,
        Policy(on_conflict, tuple(rename), to_workspace, rename_prefix, undelete=undelete),
        as_selection(selection),
        include_secrets=include_secrets,
        strict_artifacts=strict_artifacts,
        dry_run=dry_run,
        orphans=orphans,
        retry_time=retry_time,
        auth=None if auth is None else locate_users(auth, origin),
        registry=None if registry is None else locate_users(registry, origin),
        target_auth=None if target_auth is None else locate_users(target_auth, place),
        include_tables=tuple(include_tables),
        source_env=source_env,
        target_env=target_env,
        allow_root=tuple(map(place_text, allow_root)),
    )
    return _transfer("copy", origin, place, options, on_progress)


def _transfer(
    verb: str, origin: Address, place: Address, options: TransferOptions, on_progress: OnProgress
) -> Result:
    check_options(options.artifacts, options.workers)
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
    opened = open_source(
        origin,
        uri_map=options.uri_map,
        allow_root=options.allow_root,
        workers=options.workers,
        include_secrets=options.include_secrets,
        retry_time=options.retry_time,
        part=options.selection is not None and not options.selection.is_everything,
        orphans=options.orphans,
        dedupe=True,
        auth=options.auth,
        registry=options.registry,
        include_tables=options.include_tables,
        on_progress=on_progress,
    )
    try:
        chosen = select(opened, options.selection)
        if place.kind is AddressKind.SERVER:
            return _into_server(verb, chosen, (origin, place), options, on_progress)
        options.check(chosen)
        work = DatabaseTransfer(verb, chosen, place, options, on_progress)
        result = work.preview(started) if options.dry_run else work.run(started)
        return _with_next_command(result, (origin, place), options)
    finally:
        opened.close()


def _with_next_command(
    result: Result, places: tuple[Address, Address], options: TransferOptions
) -> Result:
    if result.conflicts or result.misfits or result.unreadable:
        return result
    following = _following(result.verb, places, options, renamed=bool(result.renamed))
    return replace(result, next_command=following)


def _following(
    verb: str, places: tuple[Address, Address], options: TransferOptions, *, renamed: bool
) -> str:
    """What to run now: what was planned, or else what shows that it was done.

    `diff` would not find what has another name now.
    """
    part = options.selection.options() if options.selection else ""
    typed = [place.as_typed for place in places]
    if options.dry_run:
        return command_line(verb, typed, options.words(), part)
    if renamed:
        return command_line("inspect", typed[1:], [("source-env", options.target_env or "")])
    named = [option for option in options.words() if option[0] == "registry"]
    return command_line("diff", typed, [*named, *options.sides()], part)


def _into_server(
    verb: str,
    source: Source,
    places: tuple[Address, Address],
    options: TransferOptions,
    on_progress: OnProgress,
) -> Result:
    """Carry a registry into a tracking server: step by step, as it takes no transaction."""
    # MLflow takes seconds to import, which a server's credentials need.
    from mlporter.execute.server.transfer import ServerTransfer  # noqa: PLC0415

    options.check_for_server()
    seen = look_through(source, on_progress)
    told = seen.others
    if seen.dangling:
        source = WithoutDangling(source, seen.dangling)
        told += tuple(source.entries())
    work = ServerTransfer(
        source,
        places[1],
        options.policy,
        options.workers,
        options.retry_time,
        options.uri_map,
        on_progress,
        copies=options.copies(source),
        dry=options.dry_run,
    )
    try:
        for item in told:
            work.context.left_out.add(item)
        work.run()
        return _with_next_command(work.result(verb, options.artifacts), places, options)
    finally:
        work.close()


def _check_target(place: Address) -> None:
    if place.kind is AddressKind.FILESTORE:
        raise UnsupportedError(
            "is a file store, which MLflow is leaving behind and mlporter does not write",
            subject=str(place),
            hint="the target is a database: sqlite:///name.db, say",
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
