"""What `diff` found: a line for each difference, a table, and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, columns, facts, heading, number
from mlporter.cli.render.text import plural, visible
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell
    from mlporter.compare.report import Difference, DiffReport, TableCounts
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import Description

__all__ = ["render_diff", "render_diff_verdict", "render_difference"]

_STYLES = {"+": "green", "-": "red", "*": "yellow", "!": "bold red"}
_LEGEND = "= same   + only in A   - only in B   * differs   ! could not be read"
_NAMED = 15


def render_diff(report: DiffReport) -> Iterator[RenderableType]:
    """The differences, the counts of each table, what was not compared, and the verdict."""
    yield facts(_sides(report))
    yield Text()
    if report.differences:
        yield from (render_difference(difference) for difference in report.differences)
        if report.truncated:
            yield Text(f"…and {report.truncated:,} more: --limit {_all(report)}")
        yield Text()
    yield from _counts(report.tables)
    yield from _not_given("A", report.left_out_left, report.not_given[0])
    yield from _not_given("B", report.left_out_right, report.not_given[1])
    if report.ignored:
        yield Text()
        yield heading("Not compared")
        yield bullets(("-", sentence) for sentence in report.ignored)
    yield Text()
    yield render_diff_verdict(report)


def render_difference(difference: Difference) -> Text:
    """One line: sigil, table, key, and what differs; credentials redacted."""
    sigil, style = difference.sigil, _STYLES[difference.sigil]
    key = "/".join(_plain(value) for value in difference.key.values())
    line = Text.assemble((sigil, style), " ", difference.table, "  ", hide_passwords(key))
    changes = [
        f"{name}: {_value(left)} → {_value(right)}"
        for name, (left, right) in difference.columns.items()
    ]
    if difference.detail:
        changes.append(visible(difference.detail))
    if changes:
        line.append("  " + hide_passwords("; ".join(changes)))
    return line


def render_diff_verdict(report: DiffReport) -> Text:
    """The last line."""
    if report.identical:
        same = sum(counts.same for counts in report.tables.values())
        return Text(f"Identical: {plural(same, 'row or file', 'rows and files')}.", style="green")
    count = sum(counts.different for counts in report.tables.values())
    return Text(f"Different: {plural(count, 'row or file', 'rows or files')}.", style="bold red")


def _sides(report: DiffReport) -> Iterator[tuple[str, str]]:
    for name, side in (("A", report.left), ("B", report.right)):
        yield name, _place(side)
        if side.as_found:
            yield "", side.as_found


def _place(description: Description) -> str:
    words = [description.kind, f"revision {description.revision}", description.consistency]
    return f"{description.address}  ({', '.join(words)})"


def _all(report: DiffReport) -> int:
    return report.truncated + len(report.differences)


def _counts(tables: dict[str, TableCounts]) -> Iterator[RenderableType]:
    shown = {name: c for name, c in tables.items() if c.same or c.different}
    rows: list[list[Cell]] = [
        [name, *map(number, (c.same, c.only_left, c.only_right, c.differs, c.unreadable))]
        for name, c in shown.items()
    ]
    yield columns([("", "left"), *((sigil, "right") for sigil in "=+-*!")], rows)
    empty = len(tables) - len(shown)
    if empty:
        yield Text(f"  {plural(empty, 'other table')} empty on both sides", style="dim")
    if any(c.different for c in tables.values()):
        yield Text(f"  {_LEGEND}", style="dim")


def _not_given(side: str, entries: list[LeftOut], count: int) -> Iterator[RenderableType]:
    wanted = [entry for entry in entries if not entry.expected]
    if count:
        what = "file" if all(entry.path for entry in wanted) else "thing"
        yield Text()
        yield heading(f"Missing in {side} itself: {plural(count, what)}")
        items = [f"{e.kind} {e.id}/{e.path}: {e.reason}: {e.detail}" for e in wanted[:_NAMED]]
        yield bullets((("!", item) for item in items), style="red")
        more = count - min(_NAMED, len(wanted))
        if more:
            yield Text(f"  …and {more:,} more (--json names the first ones)")


def _plain(value: object) -> str:
    return "NULL" if value is None else visible(str(value))


def _value(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        shown = visible(value)
        return shown if shown and not set(shown) & set(" ;→\"'") else f'"{shown}"'
    return str(value)
