"""`verify`: is a bundle what was written, and is it what another place holds?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlporter.bundle.checks.verify import VerifyMode, VerifyReport, verify_bundle
from mlporter.bundle.folder.layout import SIGNATURE
from mlporter.bundle.signing import check_manifest
from mlporter.catalogue.types import Kind
from mlporter.errors import ExitCode, RefusedError, UsageError
from mlporter.execute.options import check_jobs
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, Phases, silent, without_phases
from mlporter.reports.report_file import check_report_file
from mlporter.repository.checks import verify_repository
from mlporter.repository.repository import Repository
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.bundles.repository_places import identity_of, storage_of
from mlporter.stores.needing_mlflow import check_mlflow
from mlporter.stores.opening import hinting_what_is_there, open_bundle, settled
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.moving.bundle_places import no_signature
from mlporter.verbs.reports import write_verification
from mlporter.workers.choice import check_workers, task_pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.compare.report import DiffReport
    from mlporter.reports.things import Beside
    from mlporter.stores.addresses.address import Address, Place
    from mlporter.verbs.backups.restore_test import RestoreTest
    from mlporter.workers.task_pool import TaskPool

__all__ = ["VerifyResult", "verify"]

_CHECKING, _RESTORING, _COMPARING = "checking", "restoring", "comparing"


@dataclass(frozen=True)
class VerifyResult(Shown):
    """What `verify` found: the bundle by itself, restored, and against another place, as asked."""

    check: VerifyReport
    diff: DiffReport | None = None
    restore: RestoreTest | None = None

    @property
    def exit_code(self) -> ExitCode:
        """5 where the bundle is damaged, 1 where it differs from the other place, else 0."""
        if self.check.exit_code:
            return ExitCode(self.check.exit_code)
        return self.diff.exit_code if self.diff else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "check": self.check.as_dict(),
            "diff": self.diff.as_dict() if self.diff else None,
            **({"restore": self.restore.as_dict()} if self.restore else {}),
            "exit_code": int(self.exit_code),
        }


def _foreign(place: Address) -> list[str]:
    """Tables of other programs that a bundle or snapshot holds: they were asked for."""
    with closing(open_bundle(place)) as source:
        tables = source.manifest.tables
    return [name for name, entry in tables.items() if entry.kind == Kind.UNKNOWN.value]


def verify(
    bundle: Place,
    *,
    quick: bool = False,
    sample: float | None = None,
    against: Place | None = None,
    uri_map: Sequence[str] = (),
    allow_root: Sequence[Place] = (),
    workers: int = 4,
    jobs: int | None = None,
    processes: int | None = None,
    dask: str | None = None,
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    require_signature: str | PathLike[str] | None = None,
    html: str | PathLike[str] | None = None,
    restore_test: bool = False,
    restore_models: int = 3,
    on_progress: OnProgress = silent,
) -> VerifyResult:
    """Check a bundle: structure and every sum, or less with `quick` and `sample`.

    Args:
        bundle: The directory of a bundle, or a repository or a snapshot; or the same in object
            storage.
        quick: Structure, sizes and the sums of small files only.
        sample: Fraction of the blobs whose content is read, over 0 and up to 1.
        against: Compare it with another place as well, as `diff` does.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though that place keeps
            none there.
        workers: Files that are read, and requests sent, at a time.
        jobs: So many connections read a large table of PostgreSQL; None is by the processors.
        processes: So many processes of this machine read it instead of threads.
        dask: The workers of this Dask scheduler do; or ``local:4``.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the variables of `against` alone begin with.
        require_signature: The file of a public key: the manifest must be signed with its private
            one.
        html: Write a report to this file, too.
        restore_test: Restore it into a scratch database, too, and have MLflow count what it sees
            there and load some models: their code is run. A bundle or one snapshot.
        restore_models: How many model versions are loaded then, chosen by chance.
        on_progress: Called with how far it is.

    Raises:
        BundleUnfinishedError: there is no manifest yet. Damage is not raised but reported.
        NeedsMlflowError: a restore test is asked for, and MLflow is not installed.
    """
    page = check_report_file(html)
    place = settled(locate(bundle))
    check_jobs(jobs, None if against is None else locate(against, source_env))
    besides: list[Beside] = []

    def compare() -> DiffReport:
        from mlporter.verbs.reading.diff import diff_places  # noqa: PLC0415 -- most are checked alone

        if against is None:
            raise UsageError("name the place to compare with")
        report, beside = diff_places(
            bundle,
            against,
            uri_map=uri_map,
            allow_root=allow_root,
            workers=workers,
            jobs=jobs,
            processes=processes,
            dask=dask,
            retry_time=retry_time,
            target_env=source_env,
            include_tables=_foreign(place),
            for_report=page is not None,
            on_progress=without_phases(on_progress),
        )
        besides.append(beside)
        return report

    def told(result: VerifyResult) -> VerifyResult:
        if page is not None:
            write_verification(result.check, result.diff, next(iter(besides), None), page)
        return result

    _check_asked(place, against, require_signature, restore_test=restore_test)
    check_workers(processes, dask)
    mode = mode_of(quick, sample)
    restoring = [_RESTORING] if restore_test else []
    comparing = [_COMPARING] if against is not None else []
    phases = Phases(on_progress, (_CHECKING, *restoring, *comparing))
    phases.begin(_CHECKING)
    key = None if require_signature is None else str(require_signature)
    with task_pool(workers, processes, dask) as pool:
        if place.path is not None:
            pool.check_sees(str(place.path))
        if place.kind is AddressKind.BUNDLE:
            check = _checked(place, mode, sample, key, pool=pool, on_progress=on_progress)
        else:
            place, check = _verify_repository(place, mode, sample, pool, on_progress)
    restored = None
    if restore_test and not check.exit_code:
        # It loads much, and most are checked without it.
        from mlporter.verbs.backups import restore_test as drill  # noqa: PLC0415

        phases.begin(_RESTORING)
        told_steps = without_phases(on_progress)
        restored = drill.restore_test(place, check, restore_models, told_steps)
    compared = None
    if against is not None and not check.exit_code:
        phases.begin(_COMPARING)
        compared = compare()
    return told(VerifyResult(check, compared, restored))


def _checked(
    place: Address,
    mode: VerifyMode,
    sample: float | None,
    require_signature: str | None,
    *,
    pool: TaskPool,
    on_progress: OnProgress,
) -> VerifyReport:
    """A bundle by itself."""

    def progress(done: int, total: int) -> None:
        on_progress("verifying", done, total, "bytes")

    with hinting_what_is_there(place):
        check = verify_bundle(
            storage_of(place),
            mode,
            fraction=1.0 if sample is None else sample,
            pool=pool,
            on_progress=progress,
        )
    if require_signature is not None:
        try:
            check_manifest(storage_of(place), require_signature)
        except RefusedError as error:
            check.add(SIGNATURE, "signature", error.message)
    return check


def mode_of(quick: bool, sample: float | None) -> VerifyMode:  # noqa: FBT001 -- as `verify` has it
    """How much is looked at.

    Raises:
        UsageError: both are given.
    """
    if quick and sample is not None:
        raise UsageError("quick and sample exclude each other")
    return "quick" if quick else "full" if sample is None else "sample"


def _check_asked(
    place: Address,
    against: Place | None,
    require_signature: str | PathLike[str] | None,
    *,
    restore_test: bool,
) -> None:
    """Refuse what cannot be asked of such a place, or on this machine.

    Raises:
        UsageError: it is nothing that can be verified; a whole repository is to be compared or
            restored; or a signature is required where there can be none.
        NeedsMlflowError: a restore test needs MLflow.
    """
    if place.kind not in {AddressKind.REPOSITORY, AddressKind.SNAPSHOT, AddressKind.BUNDLE}:
        raise UsageError(
            "verify checks a bundle", subject=str(place), hint="use mlporter diff for two places"
        )
    if place.kind is AddressKind.REPOSITORY and (against is not None or restore_test):
        asked = f"--against {against}" if against is not None else "--restore-test"
        raise UsageError(
            "a repository holds many registries",
            subject=str(place),
            hint=f"name a snapshot: mlporter verify {place.as_typed}/@latest {asked}",
        )
    if require_signature is not None and place.kind is not AddressKind.BUNDLE:
        raise no_signature(place)
    if restore_test:
        check_mlflow("a restore test", str(place))


def _verify_repository(
    place: Address, mode: VerifyMode, sample: float | None, pool: TaskPool, on_progress: OnProgress
) -> tuple[Address, VerifyReport]:
    """Check a repository, or one snapshot of it: this one, whatever is the latest by then."""

    def progress(done: int, total: int) -> None:
        on_progress("verifying", done, total, "bytes")

    repository = Repository.open(storage_of(place), identity_of(place))
    only = None
    if place.kind is AddressKind.SNAPSHOT:
        only = repository.choose(place.snapshot).name
        place = replace(place, snapshot=only)
    fraction = 1.0 if sample is None else sample
    check = verify_repository(
        repository, mode, only=only, fraction=fraction, pool=pool, on_progress=progress
    )
    return place, check
