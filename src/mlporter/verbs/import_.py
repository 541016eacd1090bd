"""`import` and `copy`: a registry into a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from mlporter.errors import UnsupportedError, UsageError
from mlporter.execute.dangling import WithoutDangling
from mlporter.execute.database.existing_files import with_held
from mlporter.execute.database.load import Load, check
from mlporter.execute.database.prepare import prepare
from mlporter.execute.database.rewrite import Rewrite
from mlporter.execute.database.target_files import TargetFiles
from mlporter.execute.left_out import LeftOutCollector, left_out_of
from mlporter.execute.options import Wishes
from mlporter.execute.orphans import check_orphans
from mlporter.execute.remarks import look_through
from mlporter.execute.result import FilesResult, Result
from mlporter.execute.unreadable_files import check_strict, find_unreadable
from mlporter.plan.policy import OnConflict, Policy
from mlporter.progress import OnProgress, silent
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import Address, AddressKind, place_text
from mlporter.stores.addresses.locating import locate, locate_users
from mlporter.stores.addresses.mistypings import said_of_folder
from mlporter.stores.addresses.named_places import said_of_names
from mlporter.stores.database.preview import has_no_tables, open_preview
from mlporter.stores.database.target import open_database_target
from mlporter.stores.opening import RETRY_TIME, open_source
from mlporter.verbs.command_line import command_line
from mlporter.verbs.export import ArtifactsMode, check_options
from mlporter.verbs.overlap import check_apart, check_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlporter.errors import LeftOut
    from mlporter.execute.database.prepare import Prepared, Target
    from mlporter.execute.remarks import Seen
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
    wishes = Wishes(
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
    return _transfer("import", origin, place, wishes, on_progress)


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
    wishes = Wishes(
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
    return _transfer("copy", origin, place, wishes, on_progress)


def _transfer(
    verb: str, origin: Address, place: Address, wishes: Wishes, on_progress: OnProgress
) -> Result:
    check_options(wishes.artifacts, wishes.workers)
    check_strict(wishes.artifacts, strict_artifacts=wishes.strict_artifacts)
    check_orphans(wishes.artifacts, wishes.selection, orphans=wishes.orphans)
    _check_target(place)
    if wishes.registry is not None:
        check_apart(wishes.registry, place)
    check_apart(origin, place, wishes)
    if wishes.auth is not None and wishes.target_auth is not None:
        check_apart(wishes.auth, wishes.target_auth)
    check_outside(origin, place.path, "the target")
    check_outside(origin, wishes.artifact_root, "the artifact root")
    started = monotonic()
    opened = open_source(
        origin,
        uri_map=wishes.uri_map,
        allow_root=wishes.allow_root,
        workers=wishes.workers,
        include_secrets=wishes.include_secrets,
        retry_time=wishes.retry_time,
        part=wishes.selection is not None and not wishes.selection.is_everything,
        orphans=wishes.orphans,
        once=True,
        auth=wishes.auth,
        registry=wishes.registry,
        include_tables=wishes.include_tables,
        on_progress=on_progress,
    )
    try:
        chosen = select(opened, wishes.selection)
        if place.kind is AddressKind.SERVER:
            return _into_server(verb, chosen, (origin, place), wishes, on_progress)
        wishes.check(chosen)
        work = _Work(verb, chosen, origin, place, wishes, on_progress)
        return work.preview(started) if wishes.dry_run else work.run(started)
    finally:
        opened.close()


@dataclass(frozen=True)
class _Work:
    """One import or copy: planned, and perhaps carried out."""

    verb: str
    source: Source
    origin: Address
    place: Address
    wishes: Wishes
    on_progress: OnProgress

    def run(self, started: float) -> Result:
        """Carry it out."""
        self._refuse_early()
        target = open_database_target(
            self.place, self.source.description.revision, self.wishes.target_auth
        )
        try:
            work = self._prepare(target)
            files = None
            if isinstance(work.rewrite, Rewrite) and self.wishes.copies(self.source):
                environment = self.place.environment
                files = TargetFiles(work.rewrite, self.wishes.uri_map, environment)
            load = Load(work, target, files, self.wishes.workers, self.on_progress)
            for item in left_out_of(self.source):
                load.left_out.add(item)
        except BaseException:
            target.rollback()
            raise
        load.run()
        moved = load.files_result or FilesResult(self.wishes.artifacts)
        return self._result(work, moved, load.left_out, started)

    def _refuse_early(self) -> None:
        """Refuse what needs no tables to be known, before an empty database gets some.

        MLflow makes them in transactions of its own. A new SQLite file appears with the commit.
        """
        if self.place.kind is AddressKind.SQLITE or not has_no_tables(self.place):
            return
        target = open_preview(self.place, self.source.description.revision, self.wishes.target_auth)
        try:
            check(self._prepare(target), ())
        finally:
            target.close()

    def preview(self, started: float) -> Result:
        """Say what would be done."""
        target = open_preview(self.place, self.source.description.revision, self.wishes.target_auth)
        try:
            work = self._prepare(target)
            left_out = LeftOutCollector()
            for item in (*left_out_of(self.source), *work.left_out()):
                left_out.add(item)
            files = self._files(work, left_out)
            return self._result(work, files, left_out, started)
        finally:
            target.close()

    def _prepare(self, target: Target) -> Prepared:
        wishes = self.wishes
        source, remarks = self._looked_through(target)
        if wishes.copies(source) and not target.is_fresh:
            source = with_held(source, target, wishes.uri_map, self.place.environment)
        work = prepare(
            source,
            target,
            wishes.policy,
            wishes.artifact_root,
            remap=wishes.uri_map if wishes.artifacts == "reference" else (),
            include_secrets=wishes.include_secrets,
            on_progress=self.on_progress,
        )
        work.remarks = remarks
        if wishes.strict_artifacts and wishes.copies(self.source):
            work.unreadable = find_unreadable(
                work.source, workers=wishes.workers, on_progress=self.on_progress
            )
        return work

    def _looked_through(self, target: Target) -> tuple[Source, tuple[LeftOut, ...]]:
        """What of the source the target takes, and what there is to be said of its rows.

        Beside rows of its own, a target has no place for rows of nobody.
        """
        takes_all = target.is_fresh and not target.enforces_caps
        if takes_all and self.source.description.kind == AddressKind.BUNDLE.value:
            return self.source, ()  # its export told of them
        seen = self._seen
        if seen.dangling and not takes_all:
            source = WithoutDangling(self.source, seen.dangling)
            return source, (*source.entries(), *seen.others)
        return self.source, seen.carried() if seen.is_news else ()

    @cached_property
    def _seen(self) -> Seen:
        """What a look at all rows found: it takes long, and hangs on no target."""
        return look_through(self.source, self.on_progress)

    def _files(self, work: Prepared, left_out: LeftOutCollector) -> FilesResult:
        """Count the files that would be copied."""
        if not self.wishes.copies(self.source):
            return FilesResult(self.wishes.artifacts)
        count = size = 0
        for file in work.source.files(left_out.add):
            count += 1
            size += file.size
            self.on_progress("looking for artifacts", count, None, "files")
        return FilesResult("copy", count, size)

    def _result(
        self, work: Prepared, files: FilesResult, left_out: LeftOutCollector, started: float
    ) -> Result:
        planned = self.wishes.dry_run
        address = self.source.description.address
        merge, misfits = work.merge, work.misfits() if planned else ()
        refused = merge.conflicts or misfits or work.unreadable.count
        return Result(
            verb=self.verb,
            source=address,
            target=str(self.place),
            tables=work.counted,
            files=files,
            left_out=left_out.summary(),
            notes=(*work.origin.notes, *merge.notes),
            seconds=monotonic() - started,
            next_command="" if refused else self._following(renamed=bool(merge.renamed)),
            dry_run=planned,
            fresh=work.fresh,
            units=tuple(merge.units),
            on_conflict=self.wishes.policy.on_conflict,
            renamed=tuple(merge.renamed),
            conflicts=tuple(merge.conflicts),
            misfits=misfits,
            unreadable=work.unreadable.reasons,
        )

    def _following(self, *, renamed: bool) -> str:
        return _following(self.verb, (self.origin, self.place), self.wishes, renamed=renamed)


def _following(verb: str, places: tuple[Address, Address], wishes: Wishes, *, renamed: bool) -> str:
    """What to run now: what was planned, or else what shows that it was done.

    `diff` would not find what has another name now.
    """
    part = wishes.selection.options() if wishes.selection else ""
    typed = [place.as_typed for place in places]
    if wishes.dry_run:
        return command_line(verb, typed, wishes.options(), part)
    if renamed:
        return command_line("inspect", typed[1:], [("source-env", wishes.target_env or "")])
    named = [option for option in wishes.options() if option[0] == "registry"]
    return command_line("diff", typed, [*named, *wishes.sides()], part)


def _into_server(
    verb: str,
    source: Source,
    places: tuple[Address, Address],
    wishes: Wishes,
    on_progress: OnProgress,
) -> Result:
    """Carry a registry into a tracking server: step by step, as it takes no transaction."""
    # MLflow takes seconds to import, which a server's credentials need.
    from mlporter.execute.server.transfer import ServerWork  # noqa: PLC0415

    wishes.check_for_server()
    seen = look_through(source, on_progress)
    told = seen.others
    if seen.dangling:
        source = WithoutDangling(source, seen.dangling)
        told += tuple(source.entries())
    work = ServerWork(
        source,
        places[1],
        wishes.policy,
        wishes.workers,
        wishes.retry_time,
        wishes.uri_map,
        on_progress,
        copies=wishes.copies(source),
        dry=wishes.dry_run,
    )
    try:
        for item in told:
            work.carry.left_out.add(item)
        work.run()
        result = work.result(verb, wishes.artifacts)
        following = _following(verb, places, wishes, renamed=bool(result.renamed))
        return result if result.conflicts else replace(result, next_command=following)
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
            hint=(said_of_folder(place.path) if place.path is not None else None)
            or said_of_names(place.text)
            or "name it as sqlite:///name.db, postgresql://user@host/name, "
            "mysql://user@host/name or http://host:5000",
        )
