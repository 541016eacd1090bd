"""The table that a transfer ends with, and the parts that a plan has in common with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.text import Text

from mlporter.cli.render.actions import render_actions, singular
from mlporter.cli.render.layout import bullets, columns, facts, heading, number
from mlporter.cli.render.text import human_bytes, human_seconds, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell
    from mlporter.errors import LeftOut
    from mlporter.execute.result import FilesResult, Result, TableResult

__all__ = [
    "numbered",
    "render_files",
    "render_left_out",
    "render_next",
    "render_notes",
    "render_renamed",
    "render_told",
    "render_transfer",
]

_DONE = {
    "export": "Exported",
    "import": "Imported",
    "copy": "Copied",
    "unpack": "Unpacked",
}
_DONE |= {"rebuild": "Rebuilt", "sync": "Synced"}
_FIRST = (
    "experiments",
    "runs",
    "logged_models",
    "registered_models",
    "model_versions",
    "registered_model_aliases",
    "trace_info",
    "metrics",
    "params",
    "tags",
)
"""What people ask for first; the other tables follow in the catalogue's order."""

_NAMED = 15
"""How many left-out things are named."""

_TOLD = frozenset({"renamed", "nested", "duplicate"})
"""Reasons for which something is carried otherwise than it is stored, which people should know."""

_NUMBERS = ("carried", "changed", "already there", "skipped", "failed")
_CHANGED = 2
"""Which column says what changes."""
_LEFT_ALONE = {
    "reference": "Files stay where they are, and so do their URIs (--artifacts reference).",
    "none": "Files were left out (--artifacts none).",
}


def render_transfer(result: Result) -> Iterator[RenderableType]:
    """What was carried, counted; what was not, by name; what to do next."""
    done = _DONE.get(result.verb, result.verb)
    took = human_seconds(result.seconds)
    yield heading(f"{done} {result.source} to {result.target} in {took}")
    yield Text()
    yield from _counts(result)
    yield from render_files(result.files, once=result.verb == "export")
    yield from render_renamed(result)
    yield from render_actions(result)
    yield from render_left_out(result)
    yield from render_notes(result)
    if _all_there(result):
        yield Text()
        yield Text("Nothing to do: all of it was already there.", style="green")
    yield from render_next(result)


def _all_there(result: Result) -> bool:
    new_files = result.files.files - result.files.already_there
    return not (result.fresh or result.rows or new_files or result.exit_code)


def _counts(result: Result) -> Iterator[RenderableType]:
    shown = [table for table in result.tables if any(_numbers(table))]
    shown.sort(key=lambda t: _FIRST.index(t.table) if t.table in _FIRST else len(_FIRST))
    rows: list[list[Cell]] = [[t.table, *map(number, _numbers(t))] for t in shown]
    if result.tables:
        total = [sum(row) for row in zip(*map(_numbers, result.tables), strict=True)]
        rows.append([Text("all rows", style="bold"), *map(number, total)])
    if result.files.mode == "copy":
        rows.append([Text("files", style="bold"), *_file_numbers(result)])
    yield from numbered(_NUMBERS, rows, changes=any(table.changed for table in result.tables))
    empty = len(result.tables) - len(shown)
    if empty:
        yield Text(f"  {plural(empty, 'other table')} empty", style="dim")


def numbered(
    names: Sequence[str], rows: Sequence[Sequence[Cell]], *, changes: bool
) -> Iterator[RenderableType]:
    """A table of counts; the one of what changes (the second) only where something does."""
    left = [index for index in range(len(names) + 1) if changes or index != _CHANGED]
    sides: list[tuple[str, Literal["left", "right"]]] = [("", "left")]
    sides += [(name, "right") for name in names]
    yield columns([sides[i] for i in left], [[row[i] for i in left] for row in rows])


def _numbers(table: TableResult) -> tuple[int, ...]:
    return table.carried, table.changed, table.already_there, table.skipped, table.failed


def _file_numbers(result: Result) -> tuple[Text, ...]:
    # The named ones are only the first: with more of them, the count is a lower bound.
    left_out = result.left_out
    failed = sum(entry.is_file and not entry.expected for entry in left_out.first)
    some = failed and left_out.total > len(left_out.first)
    shown = number(failed) + Text("+" if some else "")
    there = result.files.already_there
    return number(result.files.files - there), number(0), number(there), number(0), shown


def render_files(files: FilesResult, *, once: bool = False) -> Iterator[RenderableType]:
    """How many bytes in how many files; or why there are none.

    A bundle holds each content `once`, however many files have it.
    """
    if files.mode in _LEFT_ALONE:
        yield Text(f"  {_LEFT_ALONE[files.mode]}")
    elif files.files or files.already_there:
        text = f"  {human_bytes(files.bytes)} in {plural(files.files, 'file')}"
        if once and files.stored_files not in {0, files.files}:
            stored = f"{plural(files.stored_files, 'file')}, {human_bytes(files.stored_bytes)}"
            text += f"; each content once: {stored}"
        yield Text(text)


def render_renamed(result: Result) -> Iterator[RenderableType]:
    """What has another name or id in the target."""
    if not result.renamed:
        return
    yield Text()
    yield heading(f"Under another name or id: {plural(len(result.renamed), 'thing')}")
    first = result.renamed[:_NAMED]
    yield facts((singular(one.kind), f"{one.old} → {one.new}") for one in first)
    more = len(result.renamed) - _NAMED
    if more > 0:
        yield Text(f"  …and {more:,} more; --json names the first 1,000")


def render_notes(result: Result) -> Iterator[RenderableType]:
    """What people should know besides."""
    if result.notes:
        yield Text()
        yield bullets(("note:", note) for note in result.notes)


def render_next(result: Result) -> Iterator[RenderableType]:
    """The command to run now."""
    if result.next_command:
        yield Text()
        yield Text.assemble(("Next: ", "bold"), visible(result.next_command))


def render_left_out(result: Result) -> Iterator[RenderableType]:
    """What was not carried: what should have been by name, what is left out by rule in a line."""
    left_out = result.left_out
    wanted = [entry for entry in left_out.first if not entry.expected]
    if left_out.unexpected:
        yield Text()
        what = "Would be left out" if result.dry_run else "Could not be carried"
        yield heading(f"{what}: {plural(left_out.unexpected, 'thing')}")
        yield bullets((("!", str(entry)) for entry in wanted[:_NAMED]), style="red")
        more = left_out.unexpected - min(_NAMED, len(wanted))
        if more:
            yield Text(f"  …and {more:,} more: {_where_all_are(result)}")
    told = [entry for entry in left_out.first if entry.expected and entry.reason in _TOLD]
    yield from render_told(told)
    by_rule = left_out.total - left_out.unexpected - len(told)
    if by_rule:
        yield Text()
        ruled = {_short(one) for one in left_out.first if one.expected and one.reason not in _TOLD}
        names = sorted(ruled)
        some = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
        yield bullets([("left out by rule or as asked:", f"{by_rule:,} ({some})")])


def render_told(told: Sequence[LeftOut]) -> Iterator[RenderableType]:
    """What is carried otherwise than it is stored, and nothing is lost by it."""
    if told:
        yield Text()
        yield bullets(("told:", str(entry)) for entry in told[:_NAMED])
    if len(told) > _NAMED:
        yield Text(f"  …and {len(told) - _NAMED:,} more")


def _where_all_are(result: Result) -> str:
    if result.verb == "export" and not result.dry_run:
        return f"mlporter show {result.target} left_out"
    return "--json names the first thousand"


def _short(entry: LeftOut) -> str:
    return f"{entry.kind} {entry.id}" if entry.kind != "table" else entry.id
