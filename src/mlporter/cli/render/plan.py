"""What a dry run found: what would be done, what not and why, and the command that does it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.actions import render_actions
from mlporter.cli.render.layout import bullets, facts, heading, number
from mlporter.cli.render.text import plural
from mlporter.cli.render.transfer import (
    numbered,
    render_files,
    render_left_out,
    render_next,
    render_notes,
    render_renamed,
)
from mlporter.errors import ExitCode
from mlporter.execute.result import TableResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell
    from mlporter.execute.result import Result
    from mlporter.plan.policy import Conflict

__all__ = ["COUNTED_AS_THERE", "MOVABLE", "THINGS", "render_plan", "render_refusal"]

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

MOVABLE = {
    "experiments",
    "experiment_tags",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "runs",
    "logged_models",
    "trace_info",
}
"""What ``--on-conflict rename`` can always carry: under another name or id, or with its owner."""

_NAMED = 15
"""How many things of a list are named."""


def render_plan(result: Result) -> Iterator[RenderableType]:
    """What would be written where; conflicts and other reasons; the verdict and the command."""
    yield heading("Dry run: nothing was written.")
    state = "holds nothing yet" if result.fresh else "in use"
    yield facts([(result.verb, result.source), ("to", f"{result.target}  ({state})")])
    yield Text()
    yield from _counts(result)
    yield from render_renamed(result)
    yield from render_actions(result)
    yield from _reasons(result)
    yield from render_left_out(result)
    yield from render_notes(result)
    yield Text()
    yield _verdict(result)
    if not _is_there(result):
        yield from render_next(result)


def render_refusal(result: Result) -> Iterator[RenderableType]:
    """What is wrong, and the verdict; nothing if nothing is."""
    if result.exit_code is ExitCode.OK:
        return
    blocks = [*_reasons(result), *(render_left_out(result) if result.left_out.unexpected else ())]
    yield from blocks[1:]  # without the line between it and what comes before
    yield _verdict(result)


def _verdict(result: Result) -> Text:
    code = f"(exit {int(result.exit_code)})"
    if result.exit_code is ExitCode.REFUSED:
        what = [plural(len(result.conflicts), "conflict")] if result.conflicts else []
        what += [_misfits(result)] if result.misfits else []
        what += ["artifacts that cannot be read"] if result.unreadable else []
        return Text(f"Would be refused {code}: {', '.join(what)}.", style="bold red")
    if result.exit_code is ExitCode.INCOMPLETE:
        rest = plural(result.left_out.unexpected, "thing")
        return Text(f"Would be done, but for {rest} left out {code}.", style="yellow")
    if _is_there(result):
        return Text(f"Nothing to do: all of it is already there {code}.", style="green")
    return Text(f"Would be done {code}.", style="green")


def _is_there(result: Result) -> bool:
    return result.exit_code is ExitCode.OK and result.rows == 0 and not result.fresh


def _misfits(result: Result) -> str:
    return plural(len(result.misfits), "value that does not fit", "values that do not fit")


# --- Counts -------------------------------------------------------------------------------------


def _counts(result: Result) -> Iterator[RenderableType]:
    in_conflict = _in_conflict(result.conflicts)
    rows: list[list[Cell]] = []
    # A server is not asked further once something is in conflict.
    uncounted = in_conflict.keys() - {table.table for table in result.tables}
    tables = (*result.tables, *(TableResult(kind, 0) for kind in uncounted))
    for table in sorted((t for t in tables if t.table in THINGS), key=_place):
        counts = _numbers(table, in_conflict[table.table])
        if any(counts):
            rows.append([table.table, *map(number, counts)])
    if not result.conflicts:
        rows.append([Text("all rows", style="bold"), *_all_rows(result)])
        if result.files.mode == "copy":
            there = result.files.already_there
            files = (result.files.files - there, 0, there, 0, 0)
            rows.append([Text("files", style="bold"), *map(number, files)])
    names = ["new", "would change", "already there", "skipped", "in conflict"]
    if not result.conflicts:
        names.pop()
    changes = any(table.changed for table in result.tables)
    yield from numbered(names, rows, changes=changes)
    if not result.conflicts:
        yield from render_files(result.files)


def _place(table: TableResult) -> int:
    return THINGS.index(table.table)


def _in_conflict(conflicts: tuple[Conflict, ...]) -> Counter[str]:
    """Things by kind; one may be in conflict for several reasons."""
    return Counter(kind for kind, _ in {(conflict.kind, conflict.id) for conflict in conflicts})


def _numbers(table: TableResult, conflicts: int) -> tuple[int, ...]:
    """New, would change, already there, skipped, in conflict; each thing is counted once."""
    new, there = table.carried, table.already_there
    if table.table in COUNTED_AS_THERE:
        there = max(there - conflicts, 0)
    else:
        new = max(new - conflicts, 0)
    return new, table.changed, there, table.skipped, conflicts


def _all_rows(result: Result) -> Iterator[Cell]:
    for name in ("carried", "changed", "already_there", "skipped"):
        yield number(sum(getattr(table, name) for table in result.tables))


# --- Why it would be refused --------------------------------------------------------------------


def _reasons(result: Result) -> Iterator[RenderableType]:
    if result.conflicts:
        yield Text()
        yield heading(f"Conflicts with what is there: {len(result.conflicts):,}")
        yield from _first(tuple(map(_conflict, result.conflicts)), "--json names the first 1,000")
        yield from _ways_out(result)
    if result.misfits:
        yield Text()
        yield heading(f"Values that do not fit into the target: {len(result.misfits):,}")
        yield from _first(result.misfits, "--json names them")
        yield Text("  Shorten or mend them in the source, or choose another target.")
    if result.unreadable:
        yield Text()
        yield heading("Artifacts that are missing or cannot be read (--strict-artifacts)")
        yield from _first(result.unreadable, "--json names the first 100")
        yield Text("  --map-uri says where files are found.")


def _conflict(conflict: Conflict) -> str:
    return f"{conflict.kind} {conflict.id}: {conflict.why}"


def _first(reasons: tuple[str, ...], where: str) -> Iterator[RenderableType]:
    yield bullets((("!", reason) for reason in reasons[:_NAMED]), style="red")
    if len(reasons) > _NAMED:
        yield Text(f"  …and {len(reasons) - _NAMED:,} more; {where}")


def _ways_out(result: Result) -> Iterator[RenderableType]:
    kinds = {conflict.kind for conflict in result.conflicts}
    ways = [("--on-conflict skip", "leaves them out; the target keeps its own (exit 3)")]
    if result.on_conflict == "fail":
        which = "them" if kinds <= MOVABLE else "what can be renamed"
        ways.append(("--on-conflict rename", f"carries {which} beside the target's"))
        ways.append(("--on-conflict update", "changes what the target still has as it was sent"))
    if result.on_conflict in {"fail", "update"} and result.verb == "copy":
        ways.append(("mlporter sync", "keeps what was edited at the target, and does the rest"))
    if result.on_conflict == "update":
        ways.append(("--force", "lets the source win, whoever changed what at the target"))
    yield Text()
    yield bullets(ways, style="bold")
