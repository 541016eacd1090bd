"""What `verify` found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.counts import rows_and_files
from mlporter.cli.render.difference import render_diff
from mlporter.cli.render.layout import BRIEF, bullets, facts, heading
from mlporter.cli.render.text import human_bytes, human_count, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.bundle.checks.findings import VerifyReport
    from mlporter.cli.render.layout import View
    from mlporter.verbs.backups.restore_test import RestoreTest
    from mlporter.verbs.reading.verify import VerifyResult

__all__ = ["render_verdict", "render_verification"]

_NAMED = 8
_SEEN = (
    ("experiments", "experiment"),
    ("runs", "run"),
    ("registered_models", "model"),
    ("model_versions", "version"),
)
_MODES = {
    "full": "every byte, every row, every reference",
    "sample": "all tables, and a sample of the files",
    "quick": "manifest, names and sizes only; no content",
}


def render_verification(result: VerifyResult, view: View = BRIEF) -> Iterator[RenderableType]:
    """What was checked, every finding, the comparison if there was one, and the verdict."""
    check = result.check
    yield heading(f"Verified {check.address}: {_MODES[check.mode]}")
    yield from [facts(_checked(check))] if view.full else _counted(check)
    yield from _problems(check, view)
    yield from _dangling(check, view)
    if result.restore is not None:
        yield from _restored(result.restore)
    yield Text()
    if result.diff is not None:
        yield from render_diff(result.diff, view)
    yield render_verdict(result)


def _counted(check: VerifyReport) -> Iterator[RenderableType]:
    if check.rows:
        read = f", {human_bytes(check.bytes_read)} read"
        if check.blobs_read != check.blobs:
            some = f"{check.blobs_read:,} of {check.blobs:,} different ones"
            read = f"; {some}, {human_bytes(check.bytes_read)} read"
        counted = rows_and_files(check.rows - check.own_rows, check.files)
        yield Text(f"  {counted}{read}", style="dim")


def _problems(check: VerifyReport, view: View) -> Iterator[RenderableType]:
    if not check.problems:
        return
    yield Text()
    first = check.problems[: view.named(_NAMED)]
    yield bullets((("!", f"{one.path}: {one.what}: {one.detail}") for one in first), style="red")
    more = _count(check) - len(first)
    if more:
        yield Text(f"  …and {more:,} more (-v; --json names the first ten thousand)")


def _dangling(check: VerifyReport, view: View) -> Iterator[RenderableType]:
    """References without a row: as they were at the source."""
    if not check.told:
        return
    yield Text()
    count = plural(check.told, "reference")
    yield Text(f"Refers to nothing, as at the source: {count}")
    first = check.told_first[: view.named(_NAMED)]
    yield bullets(("-", line) for line in first)
    if check.told > len(first):
        more = check.told - len(first)
        yield Text(f"  …and {more:,} more: mlporter show {visible(check.address)} left_out")


def _restored(test: RestoreTest) -> Iterator[RenderableType]:
    """What MLflow saw of it."""
    yield Text()
    counted = ", ".join(
        plural(test.found.get(table, 0), word) for table, word in _SEEN if test.expected.get(table)
    )
    yield Text(f"Restored into a scratch database, where MLflow sees {counted or 'nothing'}")
    yield bullets(
        ("-" if one.loads else "!", f"{visible(one.name)} {one.outcome}") for one in test.models
    )
    if test.expected.get("model_versions") and not test.models:
        yield Text("  no model was loaded")
    yield bullets(("-", visible(note)) for note in test.notes)


def _checked(check: VerifyReport) -> Iterator[tuple[str, str]]:
    if check.bundle_id:
        yield "bundle id", check.bundle_id
    if check.rows:
        parts = plural(check.parts, "part")
        yield "rows", human_count(check.rows - check.own_rows)
        yield "of its own", f"{plural(check.own_rows, 'row')} on files and what was left out"
        yield "tables", f"{human_count(check.tables)} in {parts}"
    if check.blobs:
        read = "all" if check.blobs_read == check.blobs else human_count(check.blobs_read)
        what = plural(check.blobs, "content" if check.packs else "blob")
        packs = f", {plural(check.packs, 'pack')}" if check.packs else ""
        yield "files", f"{human_count(check.files)}, in {what} ({read} read){packs}"
    if check.bytes_read:
        yield "read", human_bytes(check.bytes_read)


def render_verdict(result: VerifyResult) -> Text:
    """The last line."""
    count = _count(result.check)
    if count and all(one.what == "restore" for one in result.check.problems):
        text = f"Undamaged, but the restore test failed: {plural(count, 'problem')}."
        return Text(text, style="bold red")
    if count:
        return Text(f"Damaged: {plural(count, 'problem')}.", style="bold red")
    if result.diff is not None and not result.diff.identical:
        return Text("Undamaged, but different from the other place.", style="bold red")
    if result.diff is not None:
        return Text("Undamaged, and identical to the other place.", style="green")
    if result.restore is not None:
        return Text("Undamaged, and the restore test passed.", style="green")
    return Text("Undamaged.", style="green")


def _count(check: VerifyReport) -> int:
    return len(check.problems) + check.more
