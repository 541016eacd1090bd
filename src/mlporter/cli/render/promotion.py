"""What a promotion did, and the promotions that were."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import BRIEF, bullets, columns, facts, heading
from mlporter.cli.render.text import human_bytes, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.promotion.asked import VersionResult
    from mlporter.verbs.promoting.history import History, PromotedVersion
    from mlporter.verbs.promoting.promotion_result import PromotionResult

__all__ = ["render_history", "render_promotion"]

_HEADS = {
    "promoted": "Promoted",
    "planned": "Would promote",
    "already promoted": "Already promoted",
    "undone": "Undone",
    "already undone": "Already undone",
}
_SHOWN = 8


def render_promotion(result: PromotionResult, view: View = BRIEF) -> Iterator[RenderableType]:
    """Each version: gates, what was proved, what moved, and how to go back."""
    for at, one in enumerate(result.versions):
        if at:
            yield Text()
        yield from _version(result, one)
    for transfer in result.transfers:
        refused = [*(str(conflict) for conflict in transfer.conflicts), *transfer.misfits]
        if refused:
            yield Text()
            yield Text("Would be refused:", style="bold red")
            named = refused[: view.named(_SHOWN)]
            yield bullets((("!", line) for line in named), style="red")
            if len(refused) > len(named):
                yield Text(f"  …and {len(refused) - len(named):,} more (-v)")
    if result.left_out:
        yield Text()
        yield Text("Left out:", style="bold yellow")
        yield bullets(
            (("!", f"{one.path}: {one.detail}") for one in result.left_out), style="yellow"
        )
    if result.next_command:
        yield Text()
        yield Text.assemble(("Next: ", "bold"), visible(result.next_command))
    if result.receipts and not result.undone:
        yield Text()
        yield Text(f"To undo: mlporter promote --undo {visible(result.receipts[-1])}")


def _version(result: PromotionResult, one: VersionResult) -> Iterator[RenderableType]:
    head = _HEADS[one.status]
    if result.undone and result.dry_run and one.status == "undone":
        head = "Would undo"
    yield heading(f"{head} {one.source} as {one.target}")
    yield facts(_facts(result, one))
    if one.gates:
        yield columns(
            (("gate", "left"), ("wanted", "left"), ("found", "left")),
            (
                (Text(f"✓ {visible(gate.gate)}", style="green"), gate.wanted, gate.found)
                for gate in one.gates
            ),
        )


def _facts(result: PromotionResult, one: VersionResult) -> Iterator[tuple[str, str]]:
    yield "from", result.source
    yield "to", result.target
    if not result.undone:
        how = {"promoted": ", read back and equal", "planned": ""}.get(one.status, "")
        yield "model", f"{plural(one.files, 'file')}, {human_bytes(one.bytes)}{how}"
    if one.load_check:
        yield "load check", one.load_check
    for number, (before, after) in one.pointers.stages.items():
        yield f"version {number}", f"{before} → {after}"
    for alias, (holder, holds) in one.pointers.aliases.items():
        yield f"@{alias}", f"{_named(holder)} → {_named(holds)}"
    if one.stored:
        yield "receipt", one.stored


def _named(number: int | None) -> str:
    return "nothing" if number is None else f"version {number}"


def render_history(found: History, view: View = BRIEF) -> Iterator[RenderableType]:
    """A block for each promotion."""
    yield heading(f"Promotions of {found.model} at {found.address}")
    if not found.versions:
        yield Text("  None.")
    for one in found.versions:
        yield Text(f"Version {one.version}")
        yield facts(_of_promotion(one, view))
    if found.unfinished:
        numbers = ", ".join(map(str, found.unfinished))
        yield Text(f"  Not finished: version {numbers}; promote again to continue.")


def _of_promotion(one: PromotedVersion, view: View) -> Iterator[tuple[str, str]]:
    yield "when", _time(one.at, view)
    yield "by", one.by
    yield "from", f"models:/{one.of} at {one.source}"
    yield "gates", f"{one.gates} passed"
    moved = [*(f"@{alias}" for alias in one.aliases), *([one.stage] if one.stage else [])]
    if moved:
        yield "moved", ", ".join(moved)
    if one.undone:
        yield "undone", _time(one.undone, view)
    yield "files", f"sha256 {one.digest}"
    if one.receipt:
        yield "receipt", one.receipt


def _time(text: str, view: View) -> str:
    """A time of a receipt, to the second."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return text
    if view.epoch:
        return str(int(when.timestamp() * 1000))
    return f"{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}Z"
