"""What becomes of things of each kind, counted: the table of a transfer, and of a plan.

There is one way of counting: rows of the tables that are copied, and artifact files. What MLflow
computes from other tables is no row of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import columns, number, wrapped
from mlporter.cli.render.text import human_bytes, plural, words
from mlporter.execute.result import TableResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell, Side, View
    from mlporter.execute.result import FilesResult, Result
    from mlporter.plan.policy import Conflict

__all__ = ["COUNTED_AS_THERE", "THINGS", "render_counts", "rows_and_files"]

THINGS = (
    "workspaces",
    "experiments",
    "experiment_tags",
    "datasets",
    "runs",
    "logged_models",
    "registered_models",
    "registered_model_tags",
    "model_versions",
    "registered_model_aliases",
    "trace_info",
    "issues",
    "evaluation_datasets",
    "scorers",
    "label_schemas",
    "review_queues",
    "entity_associations",
    "model_definitions",
    "secrets",
    "endpoints",
    "guardrails",
    "budget_policies",
    "webhooks",
    "mcp_servers",
    "skills",
)
"""Tables with a row for each thing that people know by name or id; the others hold its parts."""

COUNTED_AS_THERE = {
    "experiments",
    "experiment_tags",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "entity_associations",
}
"""Of these, what is in conflict is in the target, and counted as already there."""

_ASKED_FOR = {
    "experiments": "experiments",
    "runs": "runs",
    "logged_models": "logged models",
    "registered_models": "registered models",
    "model_versions": "versions",
    "trace_info": "traces",
}
"""What people ask for, and what it is called; other kinds are only shown where more befalls them
than being copied."""
_CALLED = {**_ASKED_FOR, "registered_model_aliases": "aliases", "workspaces": "workspaces"}

_FIRST = tuple(_ASKED_FOR)

_HEADS = {
    "copied": "copied",
    "updated": "updated",
    "already_there": "already there",
    "skipped": "skipped",
    "failed": "failed",
    "conflicts": "conflicts",
}
_HEADS_OF_PLAN = {**_HEADS, "copied": "to copy", "updated": "to update"}

_LEFT_ALONE = {
    "reference": "Files stay where they are, and so do their URIs (--artifacts reference).",
    "none": "Files were left out (--artifacts none).",
}


@dataclass(frozen=True)
class _Counts:
    """What becomes of things of one kind; each is counted once."""

    copied: int = 0
    updated: int = 0
    already_there: int = 0
    skipped: int = 0
    failed: int = 0
    conflicts: int = 0
    at_least: bool = False

    @classmethod
    def of(cls, table: TableResult, conflicts: int = 0) -> _Counts:
        copied, there = table.copied, table.already_there
        if table.table in COUNTED_AS_THERE:
            there = max(there - conflicts, 0)
        else:
            copied = max(copied - conflicts, 0)
        return cls(copied, table.changed, there, table.skipped, table.failed, conflicts)

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in _HEADS)

    @property
    def says_more(self) -> bool:
        """Whether there is more to say than how many were copied, or are there."""
        return bool(self.updated or self.failed or self.conflicts)

    def cell(self, name: str) -> Text:
        value = getattr(self, name)
        return number(value) + Text("+") if name == "failed" and self.at_least else number(value)


def render_counts(result: Result, view: View) -> Iterator[RenderableType]:
    """The table, and a line with all rows and files."""
    counted = _by_table(result)
    shown = [(name, counts) for name, counts in counted.items() if _is_shown(name, counts, view)]
    lines = [(_name(name, view), counts) for name, counts in shown]
    files = _files(result)
    if result.files.mode == "copy" and not files.is_empty:
        lines.append(("files", files))
    if lines:
        heads = _HEADS_OF_PLAN if result.dry_run else _HEADS
        yield _table(lines, heads)
    elif not result.conflicts:
        yield Text("  nothing", style="dim")
    if view.full and len(counted) > len(shown):
        yield Text(f"  {plural(len(counted) - len(shown), 'other table')} empty", style="dim")
    if not result.conflicts:
        yield from _totals(result, view)


def _by_table(result: Result) -> dict[str, _Counts]:
    """What becomes of the rows of each table; what people ask for comes first."""
    in_conflict = _in_conflict(result.conflicts)
    # A server is not asked further once something is in conflict.
    uncounted = in_conflict.keys() - {table.table for table in result.tables}
    tables = (*result.tables, *(TableResult(kind, 0) for kind in sorted(uncounted)))
    ordered = sorted(tables, key=lambda table: _place(table.table))
    return {table.table: _Counts.of(table, in_conflict[table.table]) for table in ordered}


def _place(table: str) -> int:
    """What people ask for, other things, their parts."""
    if table in _FIRST:
        return _FIRST.index(table)
    return len(_FIRST) + (THINGS.index(table) if table in THINGS else len(THINGS))


def _in_conflict(conflicts: Iterable[Conflict]) -> Counter[str]:
    """Things by kind; one may be in conflict for several reasons."""
    return Counter(kind for kind, _ in {(conflict.kind, conflict.id) for conflict in conflicts})


def _is_shown(name: str, counts: _Counts, view: View) -> bool:
    if counts.is_empty:
        return False
    if view.full or name in _ASKED_FOR:
        return True
    return bool(counts.failed or (name in THINGS and (counts.says_more or counts.skipped)))


def _name(table: str, view: View) -> str:
    """As `show` takes it, where all tables are shown."""
    return table if view.full else _CALLED.get(table, words(table))


def _files(result: Result) -> _Counts:
    # The named ones are only the first: with more of them, the count is a lower bound.
    left_out, files = result.left_out, result.files
    failed = sum(entry.is_file and not entry.expected for entry in left_out.first)
    some = bool(failed) and left_out.total > len(left_out.first)
    there = files.already_there
    return _Counts(files.files - there, already_there=there, failed=failed, at_least=some)


def _table(lines: Sequence[tuple[str, _Counts]], heads: dict[str, str]) -> RenderableType:
    """Only the columns that say something."""
    used = [name for name in heads if any(getattr(counts, name) for _, counts in lines)]
    if "copied" not in used:
        used.insert(0, "copied")
    sides: list[tuple[str, Side]] = [("", "left"), *((heads[name], "right") for name in used)]
    rows: list[list[Cell]] = [
        [name, *(counts.cell(column) for column in used)] for name, counts in lines
    ]
    return columns(sides, rows)


def _totals(result: Result, view: View) -> Iterator[RenderableType]:
    rows = sum(t.copied + t.changed + t.already_there for t in result.tables)
    tables = sum(1 for t in result.tables if t.copied or t.changed or t.already_there)
    said = []
    if tables:
        more = "" if view.full else " (-v)"
        said.append(f"{plural(rows, 'row')} in {plural(tables, 'table')}{more}")
    if size := _size(result.files, once=result.verb == "export"):
        said.append(size)
    if said:
        yield wrapped(Text(f"  {'; '.join(said)}", style="dim"))
    if result.files.mode in _LEFT_ALONE:
        yield Text(f"  {_LEFT_ALONE[result.files.mode]}")


def _size(files: FilesResult, *, once: bool) -> str:
    """How large the files are; a bundle holds each content `once`, however many files have it."""
    if files.mode in _LEFT_ALONE or not files.files:
        return ""
    text = f"{plural(files.files, 'file')}, {human_bytes(files.bytes)}"
    if once and files.stored_files not in {0, files.files}:
        text += f" ({files.stored_files:,} different, {human_bytes(files.stored_bytes)})"
    if files.by_storage:
        every = files.by_storage == files.files
        text += f", {'all' if every else f'{files.by_storage:,}'} copied by the storage itself"
    return text


def rows_and_files(rows: int, files: int) -> str:
    """``66 rows and 24 files``, as every verb says it."""
    return f"{plural(rows, 'row')} and {plural(files, 'file')}"
