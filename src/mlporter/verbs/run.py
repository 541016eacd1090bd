"""`run`: what manifests say, carried out in order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mlporter.errors import ExitCode, InterruptedByUserError, MlporterError, UsageError
from mlporter.manifests.reading import ReadManifest, read_manifest
from mlporter.notebooks import Shown
from mlporter.progress import OnProgress, silent
from mlporter.redaction import redact
from mlporter.verbs.backups.backup import BackupResult, backup
from mlporter.verbs.backups.forget import ForgetResult, forget
from mlporter.verbs.moving.export import export
from mlporter.verbs.moving.import_ import copy, import_
from mlporter.verbs.moving.sync import sync
from mlporter.verbs.promoting.promote import promote
from mlporter.verbs.reading.diff import diff
from mlporter.verbs.reading.verify import VerifyResult, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from mlporter.compare.report import DiffReport
    from mlporter.execute.result import Result
    from mlporter.verbs.promoting.promotion_result import PromotionResult

__all__ = ["ManifestResult", "RunResult", "run"]

AnyResult: TypeAlias = (
    "Result | PromotionResult | BackupResult | ForgetResult | DiffReport | VerifyResult"
)

_VERBS: dict[str, Callable[..., Any]] = {
    "export": export,
    "import": import_,
    "copy": copy,
    "sync": sync,
    "promote": promote,
    "backup": backup,
    "forget": forget,
    "diff": diff,
    "verify": verify,
}
_ONLY_READ = ("diff", "verify")
"""Kinds that need no dry run."""


@dataclass(frozen=True)
class ManifestResult(Shown):
    """What became of one manifest.

    Attributes:
        file: The manifest.
        kind: The verb.
        result: What the verb returned; None where it failed as a whole.
        error: Why it did.
    """

    file: str
    kind: str
    result: AnyResult | None = None
    error: MlporterError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """As if the verb had been called alone."""
        if self.error is not None:
            return ExitCode(self.error.exit_code)
        return ExitCode.OK if self.result is None else ExitCode(self.result.exit_code)

    def as_dict(self) -> dict[str, Any]:
        """Its entry in the object that ``--json`` prints."""
        said: dict[str, Any] = {"file": self.file, "kind": self.kind}
        if self.error is not None:
            said["error"] = _error_dict(self.error)
        if self.result is not None:
            said["result"] = self.result.as_dict()
        return {**said, "exit_code": int(self.exit_code)}


def _error_dict(error: MlporterError) -> dict[str, Any]:
    return {
        "type": type(error).__name__,
        "message": redact(error.message),
        "subject": redact(error.subject) if error.subject else None,
        "hint": redact(error.hint) if error.hint else None,
        "reasons": [redact(reason) for reason in error.reasons],
        "exit_code": int(error.exit_code),
    }


@dataclass(frozen=True)
class RunResult(Shown):
    """What became of all manifests.

    Attributes:
        manifests: Of each that was carried out, in order.
        not_run: Files that were not, as one before them did not end with exit code 0.
        dry_run: Whether nothing was to be written.
    """

    manifests: tuple[ManifestResult, ...]
    not_run: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The first that is not 0; or 0."""
        codes = (one.exit_code for one in self.manifests)
        return next((code for code in codes if code is not ExitCode.OK), ExitCode.OK)

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "verb": "run",
            "dry_run": self.dry_run,
            "manifests": [one.as_dict() for one in self.manifests],
            "not_run": list(self.not_run),
            "exit_code": int(self.exit_code),
        }


def run(
    manifest: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    set_: Mapping[str, object] | None = None,
    plan_out: str | None = None,
    dry_run: bool = False,
    on_done: Callable[[ManifestResult], None] | None = None,
    on_progress: OnProgress = silent,
) -> RunResult:
    """Carry out what manifests say, one after the other.

    All are read and checked before the first is carried out. One that does not end with exit code
    0 stops those after it, but in a dry run. What fails as a whole is an entry of the result.

    Args:
        manifest: The file, or several.
        set_: Values in place of those in the files, by key: ``{"selection.model": "churn"}``.
        plan_out: Write the plan to this file, for `apply`; nothing is written to the target then.
        dry_run: Only say what would be done. What only reads is done.
        on_done: Called with what became of each manifest as it ends.
        on_progress: Called with how far it is.

    Raises:
        UsageError: a manifest makes no sense; file, line and key are named. Nothing was done.
        UnreachableError: a manifest cannot be read. Nothing was done.
    """
    given = [manifest] if isinstance(manifest, (str, os.PathLike)) else list(manifest)
    if not given:
        raise UsageError("no manifest was given", hint="mlporter run manifests/copy.yaml, say")
    read = [read_manifest(os.fspath(file), set_ or {}) for file in given]
    if plan_out is not None:
        _check_plan(read)
    done: list[ManifestResult] = []
    for one in read:
        ended = _carry_out(one, plan_out, dry_run=dry_run, on_progress=on_progress)
        done.append(ended)
        if on_done is not None:
            on_done(ended)
        if ended.exit_code is not ExitCode.OK and not dry_run:
            break
    left = tuple(one.file for one in read[len(done) :])
    return RunResult(tuple(done), left, dry_run or plan_out is not None)


def _check_plan(read: Sequence[ReadManifest]) -> None:
    """A plan file holds the plan of one transfer.

    Raises:
        UsageError: there is none, or are several.
    """
    if len(read) > 1:
        raise UsageError(
            "a plan file holds the plan of one manifest", hint="run them one by one, or --dry-run"
        )
    (one,) = read
    if one.kind in _ONLY_READ:
        raise UsageError(
            f"{one.kind} only reads, and there is nothing to plan",
            subject=one.file,
            hint="run it without --plan-out",
        )


def _carry_out(
    one: ReadManifest, plan_out: str | None, *, dry_run: bool, on_progress: OnProgress
) -> ManifestResult:
    arguments = dict(one.arguments)
    if dry_run and one.kind not in _ONLY_READ:
        arguments["dry_run"] = True
    if plan_out is not None:
        arguments["plan_out"] = plan_out
    try:
        result = _VERBS[one.kind](**arguments, on_progress=on_progress)
    except InterruptedByUserError:
        raise
    except MlporterError as error:
        return ManifestResult(one.file, one.kind, error=error)
    return ManifestResult(one.file, one.kind, result)
