"""`apply`: a plan that was looked at, carried out; and `read_plan`, which looks at it."""

from __future__ import annotations

import os
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypeAlias

from mlporter.errors import RefusedError
from mlporter.execute import plan_files
from mlporter.progress import OnProgress, silent
from mlporter.verbs.backups.backup import BackupResult, backup, run_backup
from mlporter.verbs.backups.forget import ForgetResult, forget, run_forget
from mlporter.verbs.moving.export import export, run_export
from mlporter.verbs.moving.import_ import copy, import_
from mlporter.verbs.moving.request import Request
from mlporter.verbs.moving.sync import sync
from mlporter.verbs.moving.transfer import run_transfer
from mlporter.verbs.promoting.promote import promote, run_promotion

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from mlporter.execute.plan_files import PlanFile
    from mlporter.execute.result import Result
    from mlporter.verbs.promoting.promotion_result import PromotionResult

__all__ = ["apply", "read_plan"]

Applied: TypeAlias = "Result | PromotionResult | BackupResult | ForgetResult"

_VERBS: dict[str, tuple[Callable[..., Any], Callable[[Request, OnProgress], Any]]] = {
    "export": (export, run_export),
    "import": (import_, run_transfer),
    "copy": (copy, run_transfer),
    "sync": (sync, run_transfer),
    "promote": (promote, run_promotion),
    "backup": (backup, run_backup),
    "forget": (forget, run_forget),
}
"""By verb the function of the API, and what carries out a request of it."""


def apply(
    plan: str | PathLike[str], *, dry_run: bool = False, on_progress: OnProgress = silent
) -> Applied:
    """Carry out a plan that a verb wrote to a file (`plan_out`): exactly that.

    It is planned anew, and refused if that gives another plan: the world changed since. Gates of a
    promotion are judged anew.

    Args:
        plan: The file.
        dry_run: Only check whether the plan still holds.
        on_progress: Called with how far it is.

    Raises:
        UsageError: it is no plan, or was made with a password in an address.
        RefusedError: the source or the target changed since, or a gate is closed; nothing was
            written.
    """
    found = read_plan(plan)
    if found.verb not in _VERBS:
        raise RefusedError(
            f"is a plan of {found.verb!r}, which this release does not carry out",
            subject=found.path,
        )
    verb, carry_out = _VERBS[found.verb]
    request = Request.of_plan(found, {**_unless_said(verb), "dry_run": dry_run})
    result: Applied = carry_out(request, on_progress)
    return result


def read_plan(plan: str | PathLike[str]) -> PlanFile:
    """Look at a plan that a verb wrote to a file; see `mlporter show`.

    Raises:
        UsageError: it is no plan, or not as it was written.
        UnreachableError: it cannot be read.
    """
    return plan_files.read_plan(os.fspath(plan))


def _unless_said(verb: Callable[..., Any]) -> dict[str, Any]:
    """What a verb does unless told."""
    parameters = signature(verb).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.kind is Parameter.KEYWORD_ONLY and one.name != "on_progress"
    }
