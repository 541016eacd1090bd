"""The report of `verify`: what of a bundle was checked, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mlporter.reports import limits
from mlporter.reports.page import Block, Cell, Facts, Notes, Page, Section, Tile, Verdict, table
from mlporter.reports.pages.difference import difference_sections
from mlporter.reports.pages.parts import kept
from mlporter.reports.texts import cut
from mlporter.wording import human_bytes, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.compare.report import DiffReport
    from mlporter.reports.things import Beside

__all__ = ["verification_page"]

_MODES = {
    "full": "every byte, every row, every reference",
    "sample": "all tables, and a sample of the files",
    "quick": "manifest, names and sizes only; no content",
}


def verification_page(check: VerifyReport, diff: DiffReport | None, beside: Beside | None) -> Page:
    """The report."""
    places = [("Place", check.address)]
    if diff is not None:
        places.append(("Compared with", diff.right.address))
    return Page(
        "verify",
        "Is it what was written",
        _verdict(check, diff),
        tuple(places),
        tuple(_tiles(check)),
        (
            Section("problems", "What is wrong", kept(*_problems(check))),
            Section("checked", "What was checked", kept(Facts(tuple(_checked(check))))),
            Section("told", "Refers to nothing, as it did at the source", kept(_told(check))),
            *(difference_sections(diff, beside) if diff and beside else ()),
        ),
    )


def _count(check: VerifyReport) -> int:
    return len(check.problems) + check.more


def _verdict(check: VerifyReport, diff: DiffReport | None) -> Verdict:
    looked = f"Looked at: {_MODES[check.mode]}."
    if _count(check):
        return Verdict(f"Damaged: {plural(_count(check), 'problem')}", "bad", looked)
    if diff is None:
        return Verdict("Undamaged", "good", looked)
    if diff.identical:
        return Verdict("Undamaged, and identical to the other place", "good", looked)
    count = sum(counts.different for counts in diff.tables.values())
    text = f"Undamaged, but {plural(count, 'difference')} from the other place"
    return Verdict(text, "bad", looked)


def _tiles(check: VerifyReport) -> Iterator[Tile]:
    yield Tile(f"{_count(check):,}", "problems")
    yield Tile(f"{check.rows:,}", "rows read")
    yield Tile(f"{check.files:,}", "files named")
    yield Tile(human_bytes(check.bytes_read), "read")


def _problems(check: VerifyReport) -> Iterator[Block | None]:
    kinds = Counter(one.what for one in check.problems)
    if len(kinds) > 1:
        yield table("Problems by kind", ["Kind", "Problems#"], kinds.items(), "kinds")
    rows = (
        (Cell(cut(one.path), is_code=True), Cell(one.what, "bad"), Cell(cut(one.detail)))
        for one in check.problems
    )
    yield table(
        "Problems",
        ["File", "Kind", "What is wrong"],
        list(rows)[: limits.DIFFERENCES],
        "problems",
        total=_count(check),
    )


def _checked(check: VerifyReport) -> Iterator[tuple[str, str]]:
    yield "Looked at", _MODES[check.mode]
    if check.bundle_id:
        yield "Bundle id", check.bundle_id
    if check.rows:
        rows = plural(check.rows, "row")
        yield "Tables", f"{check.tables:,}: {rows} in {plural(check.parts, 'part')}"
    if check.blobs:
        read = "all" if check.blobs_read == check.blobs else f"{check.blobs_read:,}"
        yield "Files", f"{check.files:,}, in {plural(check.blobs, 'blob')} ({read} read)"
    if check.bytes_read:
        yield "Read", human_bytes(check.bytes_read)


def _told(check: VerifyReport) -> Block | None:
    lines = tuple(cut(line) for line in check.told_first[: limits.LINES])
    return Notes(lines, check.told, "references") if check.told else None
