"""What `diff` found: the differences, how many there are of each table, and a verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.counts import rows_and_files
from mlporter.cli.render.layout import BRIEF, bullets, columns, facts, heading, number, wrapped
from mlporter.cli.render.left_out import name_left_out
from mlporter.cli.render.text import iso_time, plural, visible
from mlporter.redaction import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from mlporter.cli.render.layout import Cell, View
    from mlporter.compare.report import Difference, DiffReport, TableCounts
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import Description

__all__ = ["render_diff", "render_diff_verdict", "render_difference"]

_OF_A, _OF_B = "green", "red"
_STYLES = {"+": _OF_A, "-": _OF_B, "*": "yellow", "!": "bold red"}
_HEADS = ("same", "only in A", "only in B", "differs", "not read")
_NAMED = 8
_PLURAL = re.compile(r"s\b")


def render_diff(report: DiffReport, view: View = BRIEF) -> Iterator[RenderableType]:
    """The differences, how many of each table, what was not compared, and the verdict."""
    if not report.identical or view.full:
        yield facts(_sides(report, view))
        yield Text()
    else:
        for name, side in (("A", report.left), ("B", report.right)):
            if side.as_found:
                yield Text(f"{name}: {side.as_found}")
    if report.differences:
        yield from (render_difference(one, view) for one in report.differences)
        if report.truncated:
            yield Text(f"…and {report.truncated:,} more: --limit {_all(report)}")
        yield Text()
    yield from _counts(report.tables, view)
    yield from _not_given("A", report.left_out_left, report.not_given[0], view)
    yield from _not_given("B", report.left_out_right, report.not_given[1], view)
    yield from _not_compared(report, view)
    yield render_diff_verdict(report)


def render_difference(difference: Difference, view: View = BRIEF) -> RenderableType:
    """A line: sign, table, key, and what differs; credentials redacted.

    Where a line is too short for both values, A's and B's are below each other.
    """
    sigil, style = difference.sigil, _STYLES[difference.sigil]
    key = "/".join(_plain(name, value, view) for name, value in difference.key.items())
    head = Text.assemble((sigil, style), " ", difference.table, "  ", hide_passwords(key))
    values = [
        (name, hide_passwords(_value(name, a, view)), hide_passwords(_value(name, b, view)))
        for name, (a, b) in difference.columns.items()
    ]
    return _Difference(head, values, hide_passwords(visible(difference.detail)))


class _Difference:
    """In one line if there is room; else a line for each value."""

    def __init__(self, head: Text, values: list[tuple[str, str, str]], detail: str) -> None:
        self._head = head
        self._values = values
        self._detail = detail

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = self._line()
        if line.cell_len <= options.max_width or not self._values:
            yield wrapped(line)
            return
        yield wrapped(self._head)
        for name, left, right in self._values:
            one = Text.assemble("    ", *_change(name, left, right))
            if one.cell_len <= options.max_width:
                yield one
                continue
            yield Text(f"    {name}")
            yield wrapped(Text.assemble("      A  ", (left, _OF_A)), hang=9)
            yield wrapped(Text.assemble("      B  ", (right, _OF_B)), hang=9)

    def _line(self) -> Text:
        line = self._head.copy()
        for at, (name, left, right) in enumerate(self._values):
            line.append_text(Text.assemble("; " if at else "  ", *_change(name, left, right)))
        return line.append(f"  {self._detail}") if self._detail else line


def _change(name: str, left: str, right: str) -> tuple[str | tuple[str, str], ...]:
    return (f"{name}: ", (left, _OF_A), " → ", (right, _OF_B))


def render_diff_verdict(report: DiffReport) -> Text:
    """The last line."""
    if report.identical:
        return Text(f"Identical: {rows_and_files(*report.rows_and_files)}.", style="green")
    tables = report.tables.items()
    files = sum(counts.different for name, counts in tables if name == "artifacts")
    rows = sum(counts.different for name, counts in tables) - files
    said = [plural(rows, "row")] if rows else []
    said += [plural(files, "file")] if files else []
    return Text(f"Different: {' and '.join(said)}.", style="bold red")


def _sides(report: DiffReport, view: View) -> Iterator[tuple[str, str]]:
    for name, side in (("A", report.left), ("B", report.right)):
        yield name, _place(side, view)
        if side.as_found:
            yield "", side.as_found


def _place(description: Description, view: View) -> str:
    if not view.full:
        return description.address
    words = [description.kind, f"revision {description.revision}", description.consistency]
    return f"{description.address}  ({', '.join(words)})"


def _all(report: DiffReport) -> int:
    return report.truncated + len(report.differences)


def _counts(tables: dict[str, TableCounts], view: View) -> Iterator[RenderableType]:
    shown = {name: c for name, c in tables.items() if c.different or (view.full and c.same)}
    if not shown:
        return
    counts = [(c.same, c.only_left, c.only_right, c.differs, c.unreadable) for c in shown.values()]
    used = [0, *(at for at in range(1, len(_HEADS)) if any(line[at] for line in counts))]
    rows: list[list[Cell]] = [
        [name, *(number(line[at]) for at in used)] for name, line in zip(shown, counts, strict=True)
    ]
    yield columns([("", "left"), *((_HEADS[at], "right") for at in used)], rows)
    empty = sum(1 for c in tables.values() if not (c.same or c.different))
    same = len(tables) - len(shown) - empty
    if same:
        yield Text(f"  {plural(same, 'other table')} the same (-v)", style="dim")
    if view.full and empty:
        yield Text(f"  {plural(empty, 'other table')} empty on both sides", style="dim")
    yield Text()


def _not_given(
    side: str, entries: list[LeftOut], count: int, view: View
) -> Iterator[RenderableType]:
    """What a side has and could not give: nobody can say whether it is the same."""
    wanted = [entry for entry in entries if not entry.expected]
    if count:
        what = "file" if all(entry.path for entry in wanted) else "thing"
        yield heading(f"Missing in {side} itself: {plural(count, what)}")
        named = wanted[: view.named(_NAMED)]
        yield bullets((("!", name_left_out(entry)) for entry in named), style="red")
        more = count - len(named)
        if more:
            yield Text(f"  …and {more:,} more (--json names the first ones)")
        yield Text()


def _not_compared(report: DiffReport, view: View) -> Iterator[RenderableType]:
    if not report.ignored:
        return
    if view.explain:
        yield heading("Not compared")
        yield bullets(("-", sentence) for sentence in report.ignored)
        yield Text()
        return
    said = [_counted(what, count) for what, count in report.not_compared.items()]
    if said:
        line = Text(f"Not compared: {', '.join(said)} (--explain)", style="dim")
        yield wrapped(line)


def _counted(what: str, count: int) -> str:
    if not count:
        return what
    return f"1 {_PLURAL.sub('', what, count=1)}" if count == 1 else f"{count:,} {what}"


def _plain(name: str, value: object, view: View) -> str:
    if value is None:
        return "NULL"
    return visible((None if view.epoch else iso_time(name, value)) or str(value))


def _value(name: str, value: object, view: View) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        shown = visible(value)
        return shown if shown and not set(shown) & set(" ;→\"'") else f'"{shown}"'
    return _plain(name, value, view)
