"""`backup`: a registry into a repository, as one more snapshot."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from mlporter.bundle.writer import BundleWriter
from mlporter.errors import ExitCode, RefusedError
from mlporter.execute.bundle.transfer import BundleTransfer
from mlporter.execute.bundle.unchanged import state_of
from mlporter.execute.files.orphans import check_orphans
from mlporter.execute.files.unreadable_files import check_strict, refuse_unreadable
from mlporter.execute.options import ArtifactsMode, check_options
from mlporter.execute.phases import OPENING, into_bundle
from mlporter.execute.plan_files import check_plan_file
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, silent
from mlporter.repository.earlier import earlier_of, has_parts, last_of
from mlporter.repository.locks import locked
from mlporter.repository.publishing import Facts, publish
from mlporter.repository.repository import Repository, check_empty
from mlporter.selection import as_selection, select
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.addresses.same_place import identity_text
from mlporter.stores.bundles.repository_places import identity_of, repository_storage
from mlporter.stores.opening import settled
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.backups.monitoring import monitored
from mlporter.verbs.moving.overlap import check_outside, check_outside_files
from mlporter.verbs.moving.planned_export import (
    check_planned,
    needs_workers,
    open_asked,
    plan_export,
)
from mlporter.verbs.moving.request import Request
from mlporter.wording import command_line
from mlporter.workers.choice import task_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from mlporter.execute.result import Result
    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import DamagedSnapshot
    from mlporter.selection import Asked, Selection
    from mlporter.stores.addresses.address import Address, Place
    from mlporter.stores.protocols import Source
    from mlporter.workers.task_pool import TaskPool

__all__ = ["BackupResult", "backup", "run_backup"]


@dataclass(frozen=True)
class BackupResult(Shown):
    """A backup: what was copied, and the snapshot that now holds it; None after a dry run.

    ``damaged`` are snapshots that were to be built upon and cannot be read.
    """

    result: Result
    snapshot: Snapshot | None
    damaged: tuple[DamagedSnapshot, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """As that of an export; 5 where an earlier snapshot is damaged."""
        return ExitCode.BUNDLE if self.damaged else self.result.exit_code

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        made = self.snapshot.model_dump(mode="json") if self.snapshot else None
        damaged = [asdict(one) for one in self.damaged]
        told = {**self.result.as_dict(), "snapshot": made, "damaged": damaged}
        return {**told, "exit_code": int(self.exit_code)}


def backup(
    source: Place,
    repository: Place,
    *,
    tags: Sequence[str] = (),
    artifacts: ArtifactsMode = "copy",
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    include_secrets: bool = False,
    auth: Place | None = None,
    registry: Place | None = None,
    strict_artifacts: bool = False,
    orphans: bool = False,
    include_tables: Sequence[str] = (),
    source_env: str | None = None,
    selection: Asked = None,
    full: bool = False,
    reread: bool = False,
    append_only: bool = False,
    encrypt: Sequence[str] = (),
    metrics: str | PathLike[str] | None = None,
    notify: str | None = None,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_progress: OnProgress = silent,
) -> BackupResult:
    """Add a snapshot of a registry, or of a part of it, to a repository.

    What the last snapshot of the same registry holds is not stored again, and mostly not read
    again. The snapshot is complete all the same, and is there only once all that it names is.

    Args:
        source: Address of a database or a tracking server, or the path of a file store.
        repository: The folder, or the place in object storage; made if it is not there.
        tags: Words by which the snapshot can be chosen and kept.
        artifacts: ``copy``, ``reference`` (keep the URIs, copy no file) or ``none``.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though the registry keeps
            none there.
        workers: Tables and files that are read, and requests sent, at a time.
        jobs: So many connections read a large table of PostgreSQL; None is by the processors.
        processes: So many processes of this machine carry files instead of threads.
        dask: The workers of this Dask scheduler do, such as ``tcp://scheduler:8786``; or
            ``local:4`` for four workers of this machine.
        retry_time: Seconds after which a server that keeps failing is given up.
        include_secrets: Copy secrets (encrypted as they are) too.
        auth: Address of the database of its users, if they have one of their own.
        registry: Where its registered models are, if they are in another place.
        strict_artifacts: Refuse, before anything is written, if files are missing or unreadable.
        orphans: Copy local files that no row points to, too.
        include_tables: Tables of other programs in the same database that are to come, too.
        source_env: What the names of the source's own variables begin with, such as ``DEV_``.
        selection: What to back up, with all that it depends on; None is everything.
        full: Read all points of metrics, also of runs that look as they did; and ask a server for
            the files of all owners, also of those that do.
        reread: Read all files, also those of which size and time of change are as they were; ask a
            server for them as with `full`.
        append_only: For a new repository: nothing will ever be removed from it.
        encrypt: For a new repository: public keys (age or SSH) to which everything in it is
            encrypted. The file of the private key is named by the variable MLPORTER_IDENTITY.
        metrics: A file for Prometheus (textfile collector) that says how it ended.
        notify: A URL that is called at the end; ``{exit}`` in it becomes the exit code.
        plan_out: Write the plan to this file, for `apply`, and nothing else.
        dry_run: Count and list what a snapshot would hold, and write nothing: no metrics either.
        on_progress: Called with how far it is.

    Raises:
        RefusedError: the place holds something else, or the source cannot be read.
        UnreachableError: one of them cannot be reached, or the disk is full.
        RepositoryInUseError: snapshots are being removed there.
    """
    arguments = {
        "tags": tuple(tags),
        "artifacts": artifacts,
        "uri_map": tuple(uri_map),
        "allow_root": allow_root,
        "workers": workers,
        "jobs": jobs,
        "processes": processes,
        "dask": dask,
        "retry_time": retry_time,
        "include_secrets": include_secrets,
        "auth": auth,
        "registry": registry,
        "strict_artifacts": strict_artifacts,
        "orphans": orphans,
        "include_tables": tuple(include_tables),
        "source_env": source_env,
        "selection": selection,
        "full": full,
        "reread": reread,
        "append_only": append_only,
        "encrypt": tuple(encrypt),
        "metrics": metrics,
        "notify": notify,
        "plan_out": plan_out,
        "dry_run": dry_run,
    }
    return run_backup(Request("backup", source, repository, arguments), on_progress)


def run_backup(request: Request, on_progress: OnProgress) -> BackupResult:
    """Look at what `backup` is asked, and carry it out unless a plan is all.

    Raises:
        MlporterError: as `backup` says.
    """
    given = request.arguments
    chosen = as_selection(given["selection"])
    _check_asked(request, chosen)
    artifacts, workers = given["artifacts"], given["workers"]
    encrypt = tuple(given["encrypt"])
    place = locate(request.target)
    origin = settled(locate(request.source, given["source_env"]))
    needed = needs_workers(origin, given) or not request.only_plans
    if origin.kind is AddressKind.BUNDLE:
        check_outside(origin, place, "the repository")
    labels = {"source": str(origin), "repository": str(place)}
    told = (None, None) if request.only_plans else (given["metrics"], given["notify"])
    with monitored(labels, *told) as run:
        began, started = datetime.now(timezone.utc), monotonic()
        into_bundle(on_progress, copies=artifacts == "copy").begin(OPENING)
        with ExitStack() as stack:
            pool = stack.enter_context(
                task_pool(workers, given["processes"], given["dask"], needed=needed)
            )
            found = _found(place, encrypt)
            _check_seen(place, pool, found.about.recipients if found is not None else encrypt)
            if found is not None:
                stack.callback(found.close)
            part = _reads_a_part(origin, found, given, chosen)
            opened = open_asked(origin, given, part=part, pool=pool, on_progress=on_progress)
            stack.callback(opened.close)
            check_outside_files(opened, origin, place, "the repository")
            opened = select(opened, chosen)
            if given["strict_artifacts"]:
                refuse_unreadable(opened, workers=workers, on_progress=on_progress)
            if request.only_plans:
                if found is None:
                    check_empty(repository_storage(place))
                planned = plan_export(
                    request, opened, origin, place, replaced=None, on_progress=on_progress
                )
                return BackupResult(planned, None)
            check_planned(request, opened, None)
            kept = found
            if kept is None:
                kept = _made(place, append_only=given["append_only"], encrypt=encrypt)
                stack.callback(kept.close)
            which = _place(origin, opened, artifacts)
            work = _Work(
                opened,
                kept,
                artifacts,
                workers,
                pool,
                given["include_secrets"],
                given["full"],
                given["reread"],
                on_progress,
            )
            transfer, snapshot = work.run(which, began, tuple(given["tags"]))
            damaged = tuple(kept.damaged.values())
        where = kept.storage.name
        following = command_line("verify", [place.typed or where], ())
        result = transfer.result("backup", where, following, monotonic() - started)
        made = BackupResult(result, snapshot, damaged)
        run.exit_code = made.exit_code
        run.rows = dict(snapshot.rows)
        run.values |= {
            "added_bytes": snapshot.added.bytes,
            "file_bytes": snapshot.file_bytes,
            "left_out": snapshot.left_out,
        }
    return made


def _check_asked(request: Request, chosen: Selection | None) -> None:
    """Refuse what does not fit together, before anything is opened."""
    given = request.arguments
    check_plan_file(request.plan_out)
    check_options(given["artifacts"], given["workers"])
    check_strict(given["artifacts"], strict_artifacts=given["strict_artifacts"])
    check_orphans(given["artifacts"], chosen, orphans=given["orphans"])


def _check_seen(place: Address, pool: TaskPool, recipients: Sequence[str]) -> None:
    """Refuse workers that do not see the folder of a repository, or that in which it will be made.

    In one that is encrypted they do nothing.

    Raises:
        RefusedError: they do not.
    """
    if place.path is not None and not recipients:
        path = place.path.absolute()
        pool.check_sees(str(next(folder for folder in (path, *path.parents) if folder.is_dir())))


def _reads_a_part(
    origin: Address, kept: Repository | None, given: Mapping[str, Any], chosen: Selection | None
) -> bool:
    """Whether less is read, as a rule, than a copy of the whole source would take.

    So it is where there is a snapshot of the same address. That is a guess, which costs nobody
    much: what is read where it lies is one state all the same, and is copied after all if that
    takes long.
    """
    if chosen is not None and not chosen.is_everything:
        return True
    reads_most = given["full"] or given["auth"] is not None or given["registry"] is not None
    if reads_most or kept is None or origin.kind is not AddressKind.SQLITE:
        return False
    return any(snapshot.source == str(origin) for snapshot in kept.whole_newest_first())


@dataclass(frozen=True)
class _Work:
    """What a backup works with, and how."""

    source: Source
    repository: Repository
    artifacts: ArtifactsMode
    workers: int
    pool: TaskPool
    include_secrets: bool
    full: bool
    reread: bool
    on_progress: OnProgress

    def run(
        self, which: str, began: datetime, tags: tuple[str, ...]
    ) -> tuple[BundleTransfer, Snapshot]:
        """Stage a bundle whose contents go into the repository, and publish it."""
        kept, storage = self.repository, self.repository.storage
        with ExitStack() as stack:
            append_only = kept.about.append_only
            lock = stack.enter_context(locked(storage, "backup", append_only=append_only))
            kept.load_index()
            last = last_of(kept, which)
            earlier = earlier_of(kept, last, stack, reread=self.reread) if last else None
            state = None if self.full or last is None else last[0].state
            is_unchanged = state is not None and state == state_of(self.source)
            staged = Path(tempfile.mkdtemp(prefix="backup-", dir=storage.scratch()))
            stack.callback(shutil.rmtree, staged, ignore_errors=True)
            kept.contents.scratch = staged.absolute() if storage.is_local else None
            address = self.source.description.address
            with BundleWriter.create(
                staged / "bundle", source=address, blobs=kept.contents, earlier=earlier
            ) as writer:
                transfer = BundleTransfer(
                    self.source,
                    writer,
                    self.artifacts,
                    self.workers,
                    self.include_secrets,
                    self.on_progress,
                    earlier=earlier,
                    full=self.full,
                    reread=self.reread,
                    marks=True,
                    pool=self.pool,
                    is_unchanged=is_unchanged and earlier is not None and has_parts(kept, earlier),
                )
                manifest = transfer.run()
            upon = last[0].name if last else None
            state = None if transfer.says_of_rows else state_of(self.source)
            facts = Facts(which, began, tags, upon, transfer.not_listed, state)
            return transfer, publish(kept, staged / "bundle", manifest, facts, lock)


def _found(place: Address, encrypt: tuple[str, ...]) -> Repository | None:
    """The repository in a place, if there is one already.

    Raises:
        RefusedError: it was made for other keys.
    """
    found = Repository.find(repository_storage(place), identity_of(place))
    if found is not None and encrypt and set(encrypt) != set(found.about.recipients):
        found.close()
        raise RefusedError(
            "was made for other keys, or for none",
            subject=found.storage.name,
            hint="leave --encrypt out, or name a new place",
        )
    return found


def _made(place: Address, *, append_only: bool, encrypt: tuple[str, ...]) -> Repository:
    """A new repository, or the one that somebody else has made there meanwhile."""
    return _found(place, encrypt) or Repository.create(
        repository_storage(place),
        append_only=append_only,
        recipients=encrypt,
        identity=identity_of(place),
    )


def _place(origin: Address, source: Source, artifacts: str) -> str:
    """What tells a registry, and the part of it that is asked for, from every other."""
    asked = [identity_text(origin), source.description.selection, artifacts]
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
