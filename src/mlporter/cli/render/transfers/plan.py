"""What a dry run found: what would be done, what not and why, and the command that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.counts import render_counts
from mlporter.cli.render.layout import BRIEF, bullets, facts, heading
from mlporter.cli.render.left_out import first_of_each, render_left_out, render_notes
from mlporter.cli.render.text import plural
from mlporter.cli.render.transfers.actions import render_actions
from mlporter.cli.render.transfers.transfer import render_next, render_renamed
from mlporter.errors import ExitCode
from mlporter.wording import thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.execute.result import Result
    from mlporter.plan.policy import Conflict

__all__ = ["MOVABLE", "render_plan", "render_refusal"]

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
"""What ``--on-conflict rename`` can always copy: under another name or id, or with its owner."""


def render_plan(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What would be written where; conflicts and other reasons; the verdict and the command."""
    yield heading("Dry run: nothing was written.")
    state = "empty" if result.fresh else "in use"
    yield facts([(result.verb, result.source), ("to", f"{result.target}  ({state})")])
    yield Text()
    yield from render_counts(result, view)
    yield from render_renamed(result, view)
    yield from render_actions(result, view)
    yield from _reasons(result, view)
    yield from render_left_out(result, view)
    yield from render_notes(result, view)
    yield Text()
    yield _verdict(result)
    if not _is_there(result):
        yield from render_next(result)


def render_refusal(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What is wrong, and the verdict; nothing if nothing is."""
    if result.exit_code is ExitCode.OK:
        return
    left_out = render_left_out(result, view) if result.left_out.unexpected else ()
    blocks = [*_reasons(result, view), *left_out]
    yield from blocks[1:]  # without the line between it and what comes before
    yield _verdict(result)


def _verdict(result: Result) -> Text:
    code = f"(exit {int(result.exit_code)})"
    if result.exit_code is ExitCode.REFUSED:
        what = [f"{_in_conflict(result)} in conflict"] if result.conflicts else []
        what += [_misfits(result)] if result.misfits else []
        what += ["artifacts that cannot be read"] if result.unreadable else []
        return Text(f"Would be refused {code}: {', '.join(what)}.", style="bold red")
    if result.exit_code is ExitCode.INCOMPLETE:
        rest = plural(result.left_out.unexpected, "thing")
        return Text(f"Would be done, except for {rest} left out {code}.", style="yellow")
    if _is_there(result):
        return Text(f"Nothing to do: all of it is already there {code}.", style="green")
    return Text(f"Would be done {code}.", style="green")


def _in_conflict(result: Result) -> str:
    """Things; one may be in conflict for several reasons."""
    # Loaded when needed: it brings pyarrow, which `--help` does without.
    from mlporter.plan.policy import things_in_conflict  # noqa: PLC0415

    return plural(things_in_conflict(result.conflicts), "thing")


def _is_there(result: Result) -> bool:
    return result.exit_code is ExitCode.OK and result.rows == 0 and not result.fresh


def _misfits(result: Result) -> str:
    return plural(len(result.misfits), "value that does not fit", "values that do not fit")


# --- Why it would be refused --------------------------------------------------------------------


def _reasons(result: Result, view: View) -> Iterator[RenderableType]:
    if result.conflicts:
        yield Text()
        yield heading(f"In conflict with the target: {_in_conflict(result)}")
        named = ((f"{one.kind}:{one.why}", _conflict(one)) for one in result.conflicts)
        yield from _first(named, len(result.conflicts), "-v names more", view)
        yield from _ways_out(result)
    if result.misfits:
        yield Text()
        yield heading(f"Values that do not fit into the target: {len(result.misfits):,}")
        yield from _first(_each(result.misfits), len(result.misfits), "--json names them", view)
        yield Text("  Shorten or fix them in the source, or choose another target.")
    if result.unreadable:
        yield Text()
        yield heading("Artifacts that are missing or cannot be read (--strict-artifacts)")
        names, count = _each(result.unreadable), len(result.unreadable)
        yield from _first(names, count, "--json names the first 100", view)
        yield Text("  --map-uri says where files are found.")


def _conflict(conflict: Conflict) -> str:
    return f"{thing(conflict.kind, conflict.id)}: {conflict.why}"


def _each(reasons: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Reasons that are each of a kind of their own."""
    return ((reason, reason) for reason in reasons)


def _first(
    reasons: Iterable[tuple[str, str]], count: int, where: str, view: View
) -> Iterator[RenderableType]:
    named = first_of_each(reasons, view)
    yield bullets((("!", line) for line in named), style="red")
    if count > len(named):
        yield Text(f"  …and {count - len(named):,} more; {where}")


def _ways_out(result: Result) -> Iterator[RenderableType]:
    kinds = {conflict.kind for conflict in result.conflicts}
    ways = [("--on-conflict skip", "leaves them out; the target keeps its own (exit 3)")]
    if result.on_conflict == "fail":
        which = "them" if kinds <= MOVABLE else "what can be renamed"
        ways.append(("--on-conflict rename", f"copies {which} under another name or id"))
        ways.append(("--on-conflict update", "changes what is unchanged since it was sent"))
    if result.on_conflict in {"fail", "update"} and result.verb == "copy":
        ways.append(("mlporter sync", "keeps edits at the target, and does the rest"))
    if result.on_conflict == "update":
        ways.append(("--force", "lets the source win, whoever changed the target"))
    yield Text()
    yield bullets(ways, style="bold")
