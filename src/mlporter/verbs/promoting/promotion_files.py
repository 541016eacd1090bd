"""The files of this machine that a promotion writes: plan, receipts, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.errors import MlporterError, UnreachableError, UsageError
from mlporter.execute.named_files import check_kind, check_named_file, write_named_file
from mlporter.execute.plan_files import check_plan_file
from mlporter.promotion.target.receipt import RECEIPT_FILE
from mlporter.reports.report_file import check_report_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from mlporter.promotion.asked import VersionResult
    from mlporter.promotion.target.receipt import Receipt
    from mlporter.verbs.moving.request import Request

__all__ = ["checked_files", "write_receipts"]


def checked_files(request: Request, count: int) -> Path | None:
    """The file of the report, if what it, the receipts and the plan are written to may be.

    Args:
        request: What is asked for.
        count: How many receipts there may be.

    Raises:
        UsageError: one is there and is something else, or two are the same.
        UnreachableError: there is no such folder.
    """
    given, receipt = request.arguments, request.arguments["receipt"]
    check_plan_file(request.plan_out)
    receipts = [] if receipt is None else _receipt_names(str(receipt), count)
    for path in receipts:
        if request.only_plans:  # its folder may be made until it is carried out
            check_kind(Path(path), RECEIPT_FILE)
        else:
            check_named_file(path, RECEIPT_FILE)
    html = given.get("html")  # which a plan of an earlier release does not have
    named = [one for one in (request.plan_out, html, *receipts) if one is not None]
    if len({Path(one).resolve() for one in named}) < len(named):
        raise UsageError(
            "plan, report and receipt are to be one file",
            subject=", ".join(map(str, named)),
            hint="name a file for each",
        )
    return check_report_file(html)


def _receipt_names(wanted: str, count: int) -> list[str]:
    """What receipts are called: numbered where there are several."""
    path = Path(wanted)
    if count == 1:
        return [wanted]
    return [f"{path.with_suffix('')}-{at + 1}{path.suffix}" for at in range(count)]


def write_receipts(
    results: Sequence[VersionResult], wanted: str | PathLike[str] | None
) -> tuple[str, ...]:
    """Write the receipts to files of this machine."""
    new = [one.receipt for one in results if one.receipt is not None]
    if wanted is None:
        paths = [Path(receipt.file_name).name for receipt in new]
    else:
        paths = _receipt_names(str(wanted), len(new))
    for path, receipt in zip(paths, new, strict=True):
        _write_receipt(receipt, Path(path))
    return tuple(paths)


def _write_receipt(receipt: Receipt, path: Path) -> None:
    try:
        check_kind(path, RECEIPT_FILE)
        write_named_file(path, [receipt.text().encode()])
    except MlporterError as error:
        raise UnreachableError(
            f"{error.message}; the promotion itself is done",
            subject=str(path),
            hint="the target keeps the receipt among the artifacts of the version's run",
        ) from error
