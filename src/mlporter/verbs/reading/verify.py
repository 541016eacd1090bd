"""`verify`: is a bundle what was written, and is it what another place holds?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.bundle.checks.verify import VerifyMode, VerifyReport, verify_bundle
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.bundle.folder.layout import SIGNATURE
from mlporter.bundle.signing import check_manifest
from mlporter.catalogue.types import Kind
from mlporter.errors import ExitCode, RefusedError, UsageError
from mlporter.progress import OnProgress, silent
from mlporter.reports.report_file import check_report_file
from mlporter.repository.checks import verify_repository
from mlporter.repository.repository import Repository, choose
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.addresses.locating import locate
from mlporter.stores.opening import bundle_address, hinting_what_is_there
from mlporter.stores.repository_places import identity_of, storage_of
from mlporter.stores.rest.retrying import RETRY_TIME
from mlporter.verbs.reports import write_verification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from mlporter.compare.report import DiffReport
    from mlporter.reports.things import Beside
    from mlporter.stores.addresses.address import Address, Place

__all__ = ["VerifyResult", "verify"]


@dataclass(frozen=True)
class VerifyResult:
    """What `verify` found: the bundle by itself, and against another place if one was named."""

    check: VerifyReport
    diff: DiffReport | None = None

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
            "exit_code": int(self.exit_code),
        }


def _foreign(bundle: str) -> list[str]:
    """Tables of other programs that a bundle holds: they were asked for."""
    tables = load_manifest(Path(bundle)).tables
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
    retry_time: float = RETRY_TIME,
    source_env: str | None = None,
    require_signature: str | PathLike[str] | None = None,
    html: str | PathLike[str] | None = None,
    on_progress: OnProgress = silent,
) -> VerifyResult:
    """Check a bundle: structure and every sum, or less with `quick` and `sample`.

    Args:
        bundle: The directory.
        quick: Structure, sizes and the sums of small files only.
        sample: Fraction of the blobs whose content is read, over 0 and up to 1.
        against: Compare it with another place as well, as `diff` does.
        uri_map: ``FROM=TO`` pairs that say where artifact URIs are really found.
        allow_root: Folders of this machine that files may be read from, though that place keeps
            none there.
        workers: Files that are read, and requests sent, at a time.
        retry_time: Seconds after which a server that keeps failing is given up.
        source_env: What the names of the variables of `against` alone begin with.
        require_signature: The file of a public key: the manifest must be signed with its private
            one.
        html: Write a report to this file, too.
        on_progress: Told how far it is.

    Raises:
        BundleUnfinishedError: there is no manifest yet. Damage is not raised but reported.
    """
    page = check_report_file(html)
    place = locate(bundle)
    if against is not None:
        locate(against, source_env)
    besides: list[Beside] = []

    def compare() -> DiffReport:
        from mlporter.verbs.reading.diff import diff_places  # noqa: PLC0415 -- most are checked alone

        if against is None:
            raise UsageError("name the place to compare with")
        is_bundle = place.kind is AddressKind.BUNDLE
        report, beside = diff_places(
            bundle,
            against,
            uri_map=uri_map,
            allow_root=allow_root,
            workers=workers,
            retry_time=retry_time,
            target_env=source_env,
            include_tables=_foreign(bundle_address(place)) if is_bundle else (),
            for_report=page is not None,
            on_progress=on_progress,
        )
        besides.append(beside)
        return report

    def told(result: VerifyResult) -> VerifyResult:
        if page is not None:
            write_verification(result.check, result.diff, next(iter(besides), None), page)
        return result

    if place.kind in {AddressKind.REPOSITORY, AddressKind.SNAPSHOT}:
        mode = mode_of(quick, sample)
        return told(_verify_repository(place, mode, sample, against, compare, on_progress))
    if place.kind is not AddressKind.BUNDLE:
        raise UsageError(
            "verify checks a bundle", subject=str(place), hint="use mlporter diff for two places"
        )
    key = None if require_signature is None else str(require_signature)
    check = _checked(place, mode_of(quick, sample), sample, key, on_progress)
    compared = compare() if against is not None and not check.exit_code else None
    return told(VerifyResult(check, compared))


def _checked(
    place: Address,
    mode: VerifyMode,
    sample: float | None,
    require_signature: str | None,
    on_progress: OnProgress,
) -> VerifyReport:
    """A bundle by itself."""

    def progress(done: int, total: int) -> None:
        on_progress("verifying", done, total, "bytes")

    with hinting_what_is_there(place):
        check = verify_bundle(
            bundle_address(place),
            mode,
            fraction=1.0 if sample is None else sample,
            on_progress=progress,
        )
    if require_signature is not None:
        try:
            check_manifest(Path(bundle_address(place)), require_signature)
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


def _verify_repository(  # noqa: PLR0917 -- as `verify`
    place: Address,
    mode: VerifyMode,
    sample: float | None,
    against: Place | None,
    compare: Callable[[], DiffReport],
    on_progress: OnProgress,
) -> VerifyResult:
    """Check a repository, or one snapshot of it."""
    is_one = place.kind is AddressKind.SNAPSHOT
    if against is not None and not is_one:
        raise UsageError(
            "a repository holds many registries",
            subject=str(place),
            hint=f"name a snapshot: mlporter verify {place.as_typed}/@latest --against {against}",
        )

    def progress(done: int, total: int) -> None:
        on_progress("verifying", done, total, "bytes")

    repository = Repository.open(storage_of(place), identity_of(place))
    only = None
    if is_one:
        only = choose(repository.snapshots(), place.snapshot, repository.storage.name).name
    fraction = 1.0 if sample is None else sample
    check = verify_repository(repository, mode, only=only, fraction=fraction, on_progress=progress)
    compared = compare() if against is not None and not check.exit_code else None
    return VerifyResult(check, compared)
