"""What a promotion did, and the promotions that were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, columns, facts, heading
from mlporter.cli.render.text import human_bytes, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.promotion.asked import VersionResult
    from mlporter.verbs.moving.promote import PromotionResult
    from mlporter.verbs.reading.history import History, PromotedVersion

__all__ = ["render_history", "render_promotion"]

_HEADS = {
    "promoted": "Promoted",
    "planned": "Would promote",
    "already promoted": "Already promoted",
    "undone": "Undone",
    "already undone": "Already undone",
}
_SHOWN = 15


def render_promotion(result: PromotionResult) -> Iterator[RenderableType]:
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
            yield bullets((("!", line) for line in refused[:_SHOWN]), style="red")
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
        yield Text(f"The way back: mlporter promote --undo {visible(result.receipts[-1])}")


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


def render_history(found: History) -> Iterator[RenderableType]:
    """A block for each promotion."""
    yield heading(f"Promotions of {found.model} at {found.address}")
    if not found.versions:
        yield Text("  None is noted.")
    for one in found.versions:
        yield Text(f"Version {one.version}")
        yield facts(_of_promotion(one))
    if found.unfinished:
        numbers = ", ".join(map(str, found.unfinished))
        yield Text(f"  Not finished: version {numbers}; the same promotion again goes on.")


def _of_promotion(one: PromotedVersion) -> Iterator[tuple[str, str]]:
    yield "when", one.at.partition(".")[0].replace("T", " ")
    yield "by", one.by
    yield "from", f"models:/{one.of} at {one.source}"
    yield "gates", f"{one.gates} passed"
    moved = [*(f"@{alias}" for alias in one.aliases), *([one.stage] if one.stage else [])]
    if moved:
        yield "moved", ", ".join(moved)
    if one.undone:
        yield "undone", one.undone.partition(".")[0].replace("T", " ")
    yield "files", f"sha256 {one.digest}"
    if one.receipt:
        yield "receipt", one.receipt
