"""`html=` of verbs: what was found is read once more for a report, made a page, and written.

What only reports need is loaded only where one is asked for.
"""

# ruff: noqa: PLC0415 -- as said above
from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.errors import MlporterError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.compare.report import DiffReport
    from mlporter.progress import OnProgress
    from mlporter.promotion.asked import Asked
    from mlporter.reports.things import Beside
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source
    from mlporter.verbs.promoting.promotion_result import PromotionResult
    from mlporter.verbs.reading.inspect import Inventory

__all__ = [
    "write_difference",
    "write_inspection",
    "write_promotion",
    "write_refusal",
    "write_verification",
]


def write_inspection(
    inventory: Inventory, source: Source, file: Path, on_progress: OnProgress
) -> None:
    """The report of `inspect`."""
    from mlporter.reports.pages.inspection import (
        inspection_page,
        shown_experiments,
        shown_models,
        shown_versions,
    )
    from mlporter.reports.reading.contents import read_contents
    from mlporter.reports.report_file import write_report

    contents = read_contents(
        source,
        [one.id for one in shown_experiments(inventory)],
        {
            (model.workspace, model.name): [one.version for one in shown_versions(model)]
            for model in shown_models(inventory)
        },
        on_progress,
    )
    write_report(inspection_page(inventory, contents), file)


def write_difference(report: DiffReport, beside: Beside, file: Path) -> None:
    """The report of `diff`."""
    from mlporter.reports.pages.difference import difference_page
    from mlporter.reports.report_file import write_report

    write_report(difference_page(report, beside), file)


def write_verification(
    check: VerifyReport, diff: DiffReport | None, beside: Beside | None, file: Path
) -> None:
    """The report of `verify`."""
    from mlporter.reports.pages.verification import verification_page
    from mlporter.reports.report_file import write_report

    write_report(verification_page(check, diff, beside), file)


def write_promotion(
    origin: Address, place: Address, asked: Sequence[Asked], result: PromotionResult, file: Path
) -> None:
    """The report of a promotion that was carried out, or planned.

    Raises:
        MlporterError: it cannot be written. The promotion is done.
    """
    from mlporter.reports.pages.promotion import promotion_page
    from mlporter.reports.reading.candidates import read_candidates
    from mlporter.reports.report_file import write_report

    candidates, problems = read_candidates(origin, place, asked, result.versions)
    try:
        write_report(promotion_page(result, candidates, problems), file)
    except MlporterError as error:
        if not result.dry_run:
            error.reasons = (*error.reasons, "the promotion itself is done")
        raise


def write_refusal(
    origin: Address, place: Address, asked: Sequence[Asked], error: MlporterError, file: Path
) -> None:
    """The report of a promotion that ended early; if it cannot be written, the error says so."""
    from mlporter.reports.pages.promotion import refusal_page
    from mlporter.reports.reading.candidates import read_candidates
    from mlporter.reports.report_file import write_report

    # Who waited for a place in vain does not wait again.
    known = () if isinstance(error, UnreachableError) else asked
    candidates, problems = read_candidates(origin, place, known, ())
    page = refusal_page(str(origin), str(place), error, candidates, problems)
    try:
        write_report(page, file)
    except MlporterError as second:
        error.reasons = (*error.reasons, f"no report was written: {second}")
