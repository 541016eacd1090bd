"""What `verify` found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.difference import render_diff
from mlporter.cli.render.layout import bullets, facts, heading
from mlporter.cli.render.text import human_bytes, human_count, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.verbs.reading.verify import VerifyResult

__all__ = ["render_verdict", "render_verification"]

_NAMED = 50
_MODES = {
    "full": "every byte, every row, every reference",
    "sample": "all tables, and a sample of the files",
    "quick": "manifest, names and sizes only; no content",
}


def render_verification(result: VerifyResult) -> Iterator[RenderableType]:
    """What was checked, every finding, the comparison if there was one, and the verdict."""
    check = result.check
    yield heading(f"Verified {check.address}")
    yield facts(_checked(check))
    if check.problems:
        yield Text()
        found = ((problem.path, problem.what, problem.detail) for problem in check.problems)
        yield bullets(
            (("!", f"{path}: {what}: {detail}") for path, what, detail in list(found)[:_NAMED]),
            style="red",
        )
        more = _problems(check) - min(_NAMED, len(check.problems))
        if more:
            yield Text(f"  …and {more:,} more (--json names the first ten thousand)")
    if check.told:
        yield Text()
        count = plural(check.told, "reference")
        yield Text(f"Refers to nothing, as it did at the source: {count}")
        yield bullets(("-", line) for line in check.told_first[:_NAMED])
        if check.told > _NAMED:
            yield Text(f"  …and {check.told - _NAMED:,} more (`mlporter show` of left_out has all)")
    if result.diff is not None:
        yield Text()
        yield from render_diff(result.diff)
    yield Text()
    yield render_verdict(result)


def _checked(check: VerifyReport) -> Iterator[tuple[str, str]]:
    yield "looked at", _MODES[check.mode]
    if check.bundle_id:
        yield "bundle id", check.bundle_id
    if check.rows:
        rows = plural(check.rows, "row")
        yield "tables", f"{human_count(check.tables)}: {rows} in {plural(check.parts, 'part')}"
    if check.blobs:
        read = "all" if check.blobs_read == check.blobs else human_count(check.blobs_read)
        what = plural(check.blobs, "content" if check.packs else "blob")
        packs = f", {plural(check.packs, 'pack')}" if check.packs else ""
        yield "files", f"{human_count(check.files)}, in {what} ({read} read){packs}"
    if check.bytes_read:
        yield "read", human_bytes(check.bytes_read)


def render_verdict(result: VerifyResult) -> Text:
    """The last line."""
    count = _problems(result.check)
    if count:
        return Text(f"Damaged: {plural(count, 'problem')}.", style="bold red")
    if result.diff is not None and not result.diff.identical:
        return Text("Undamaged, but different from the other place.", style="bold red")
    if result.diff is not None:
        return Text("Undamaged, and identical to the other place.", style="green")
    return Text("Undamaged.", style="green")


def _problems(check: VerifyReport) -> int:
    return len(check.problems) + check.more
