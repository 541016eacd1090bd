"""Snapshots of a repository: a backup that was made, what there is, what was found or forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import columns, heading
from mlporter.cli.render.left_out import render_left_out
from mlporter.cli.render.text import human_bytes, human_count, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.repository.documents import Snapshot
    from mlporter.repository.repository import DamagedSnapshot
    from mlporter.verbs.backups.backup import BackupResult
    from mlporter.verbs.backups.forget import ForgetResult
    from mlporter.verbs.backups.snapshots import FoundResult, SnapshotList

__all__ = [
    "render_backup",
    "render_forgotten",
    "render_found",
    "render_lacking",
    "render_snapshots",
]

_COUNTED = (
    ("experiments", "experiment"),
    ("runs", "run"),
    ("registered_models", "model"),
    ("model_versions", "version"),
    ("trace_info", "trace"),
)


def render_backup(result: BackupResult) -> Iterator[RenderableType]:
    """What was backed up, how much of it was new, and what could not be."""
    snapshot = result.snapshot
    if snapshot is None:
        return
    yield heading(f"Snapshot {snapshot.name} of {snapshot.source}")
    yield Text(f"  {_contents(snapshot)}")
    whole = human_bytes(snapshot.file_bytes)
    yield Text(f"  {plural(snapshot.files, 'file')}, {whole}; {_new(snapshot)} stored")
    yield from render_lacking(result)
    yield Text()
    yield Text(f"In {visible(result.result.target)} after {snapshot.seconds:.1f} s")


def render_lacking(result: BackupResult) -> Iterator[RenderableType]:
    """What could not be backed up, and earlier snapshots that are damaged."""
    yield from render_left_out(result.result)
    yield from _damaged(result.damaged)


def _new(snapshot: Snapshot) -> str:
    return human_bytes(snapshot.added.bytes) if snapshot.added.bytes else "nothing new had to be"


def _contents(snapshot: Snapshot) -> str:
    found = [
        plural(snapshot.rows[table], word) for table, word in _COUNTED if snapshot.rows.get(table)
    ]
    return ", ".join(found) or "nothing"


def _damaged(found: Sequence[DamagedSnapshot]) -> Iterator[RenderableType]:
    """What there is to do about snapshots that cannot be read."""
    for one in found:
        yield Text()
        yield Text.assemble((f"Snapshot {one.name} is damaged: ", "red"), visible(one.problem))
        yield Text(f"  {visible(one.hint)}")


def render_snapshots(found: SnapshotList) -> Iterator[RenderableType]:
    """A line for each snapshot."""
    if not found.snapshots:
        yield Text("No snapshots yet." if not found.damaged else "No snapshot can be read.")
        yield from _damaged(found.damaged)
        return
    yield columns(
        (
            ("snapshot", "left"),
            ("source", "left"),
            ("tags", "left"),
            ("runs", "right"),
            ("versions", "right"),
            ("files", "right"),
            ("new", "right"),
        ),
        (
            (
                one.name,
                visible(one.source),
                ", ".join(one.tags) or "-",
                human_count(one.rows.get("runs", 0)),
                human_count(one.rows.get("model_versions", 0)),
                human_bytes(one.file_bytes),
                human_bytes(one.added.bytes),
            )
            for one in found.snapshots
        ),
        whole=1,
    )
    yield Text()
    yield Text(f"{plural(len(found.snapshots), 'snapshot')} in {visible(found.repository)}")
    yield from _damaged(found.damaged)


def render_found(result: FoundResult) -> Iterator[RenderableType]:
    """A line for each thing in each snapshot."""
    if not result.found:
        yield Text(f"No snapshot holds {visible(result.pattern)}.")
        yield from _damaged(result.damaged)
        return
    yield columns(
        (
            ("snapshot", "left"),
            ("kind", "left"),
            ("name", "left"),
            ("id", "left"),
            ("state", "left"),
        ),
        (
            (one.snapshot, one.kind, visible(one.name), visible(one.id) or "-", visible(one.state))
            for one in result.found
        ),
        whole=1,
    )
    yield from _damaged(result.damaged)


def render_forgotten(result: ForgetResult) -> Iterator[RenderableType]:
    """Which snapshots stay and why, which are gone, and how much was freed."""
    gone = "to be forgotten" if result.dry_run else "forgotten"
    rows = [(name, "damaged", gone) for name in result.damaged]
    for one in result.snapshots:
        what = f"kept: {', '.join(one.reasons)}" if one.reasons else gone
        rows.append((one.snapshot.name, visible(one.snapshot.source), what))
    yield columns((("snapshot", "left"), ("source", "left"), ("", "left")), sorted(rows), whole=1)
    yield Text()
    would = "would be " if result.dry_run else ""
    count = len(result.forgotten)
    were = "would be" if result.dry_run else ("was" if count == 1 else "were")
    yield Text(f"{plural(count, 'snapshot')} {were} forgotten.")
    if result.pruned is not None:
        freed = human_bytes(result.pruned.bytes)
        yield Text(f"{plural(result.pruned.objects, 'object')}, {freed}: {would}removed.")
    elif count:
        yield Text("With --prune, the space that only they took is freed.")
    if result.next_command:
        yield Text.assemble(("Next: ", "bold"), visible(result.next_command))
