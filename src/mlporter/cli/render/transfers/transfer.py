"""How a transfer ended: what was copied, what was not, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.counts import render_counts
from mlporter.cli.render.layout import BRIEF, facts, heading
from mlporter.cli.render.left_out import render_left_out, render_notes
from mlporter.cli.render.text import human_seconds, plural, visible
from mlporter.cli.render.transfers.actions import render_actions
from mlporter.wording import singular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.execute.result import Result

__all__ = ["render_next", "render_renamed", "render_transfer"]

_DONE = {
    "export": "Exported",
    "import": "Imported",
    "copy": "Copied",
    "unpack": "Unpacked",
    "rebuild": "Rebuilt",
    "sync": "Synced",
}
_NAMED = 8


def render_transfer(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What was copied, counted; what was not, by name; what to do next."""
    done = _DONE.get(result.verb, result.verb)
    took = human_seconds(result.seconds)
    yield heading(f"{done} {result.source} to {result.target} in {took}")
    yield Text()
    yield from render_counts(result, view)
    yield from render_renamed(result, view)
    yield from render_actions(result, view)
    yield from render_left_out(result, view)
    yield from render_notes(result, view)
    if _all_there(result):
        yield Text()
        yield Text("Nothing to do: all of it was already there.", style="green")
    yield from render_next(result)


def _all_there(result: Result) -> bool:
    new_files = result.files.files - result.files.already_there
    return not (result.fresh or result.rows or new_files or result.exit_code)


def render_renamed(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What has another name or id in the target."""
    if not result.renamed:
        return
    yield Text()
    yield heading(f"Under another name or id: {plural(len(result.renamed), 'thing')}")
    first = result.renamed[: view.named(_NAMED)]
    yield facts((singular(one.kind), f"{one.old} → {one.new}") for one in first)
    more = len(result.renamed) - len(first)
    if more > 0:
        yield Text(f"  …and {more:,} more; --json names the first 1,000")


def render_next(result: Result) -> Iterator[RenderableType]:
    """The command to run now."""
    if result.next_command:
        yield Text()
        yield Text.assemble(("Next: ", "bold"), (visible(result.next_command), "cyan"))
