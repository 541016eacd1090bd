"""What `inspect` and `doctor` say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, columns, facts, heading, number
from mlporter.cli.render.text import human_bytes, human_count, plural
from mlporter.cli.render.transfer import render_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell, Side
    from mlporter.execute.orphans import Orphans
    from mlporter.verbs.reading.doctor import DoctorReport
    from mlporter.verbs.reading.inspect import ExperimentInfo, Inventory, ModelInfo

__all__ = ["render_checks", "render_inventory"]

_ORPHANS_SHOWN = 20
_LOSSES_SHOWN = 20

_KINDS = {
    "derived": "derived: rebuilt, not carried",
    "transient": "transient: not carried",
    "secret": "secret: left out",
    "unknown": "not in the catalogue",
    "newer": "MLflow's, and newer than the catalogue",
}


def render_inventory(inventory: Inventory) -> Iterator[RenderableType]:
    """What and where it is; experiments, models and prompts; the rows of every table."""
    yield heading(inventory.address)
    yield facts(_facts(inventory))
    several = len(inventory.workspaces) > 1
    yield from _experiments(inventory.experiments, several=several)
    models = [model for model in inventory.models if not model.is_prompt]
    yield from _models("Registered models", models, several=several)
    prompts = [model for model in inventory.models if model.is_prompt]
    yield from _models("Prompts", prompts, several=several)
    yield from _orphans(inventory.orphans)
    yield from _losses(inventory)
    yield from _rows(inventory)


def _losses(inventory: Inventory) -> Iterator[RenderableType]:
    lost = [entry for entry in inventory.losses if not entry.expected]
    if lost:
        yield Text()
        yield heading(f"Not readable ({len(lost):,})")
        yield bullets((("!", str(entry)) for entry in lost[:_LOSSES_SHOWN]), style="red")
    if len(lost) > _LOSSES_SHOWN:
        yield Text(f"  …and {len(lost) - _LOSSES_SHOWN:,} more: --json names the first thousand")
    yield from render_told([entry for entry in inventory.losses if entry.expected])


def _facts(inventory: Inventory) -> Iterator[tuple[str, str]]:
    yield "kind", inventory.kind
    if inventory.bundle_id:
        yield "bundle id", inventory.bundle_id
    if inventory.created:
        yield "created", str(inventory.created)
    release = f"MLflow {inventory.mlflow_release}, " if inventory.mlflow_release else ""
    yield "schema", f"{release}revision {inventory.revision}"
    if inventory.stored_revision:
        own = f"MLflow {inventory.stored_release}, revision {inventory.stored_revision}"
        yield "upgraded from", f"{own} (while it is read; nothing is changed)"
    if inventory.as_found:
        yield "note", inventory.as_found
    yield from (("note", note) for note in inventory.notes)
    yield "consistency", inventory.consistency
    if inventory.workspaces:
        yield "workspaces", ", ".join(inventory.workspaces)
    if inventory.artifacts is not None:
        files = inventory.artifacts
        size = human_bytes(files.bytes)
        yield "files", f"{human_count(files.files)}, {size} (artifacts: {files.mode})"
    if inventory.orphans.files:
        orphans = inventory.orphans
        size = human_bytes(orphans.bytes)
        folders = plural(orphans.folders, "folder")
        yield "orphans", f"{plural(orphans.files, 'file')} in {folders}, {size}: no row has them"
    if inventory.left_out:
        yield "left out", plural(inventory.left_out, "thing")


def _experiments(
    experiments: tuple[ExperimentInfo, ...], *, several: bool
) -> Iterator[RenderableType]:
    yield Text()
    yield heading(f"Experiments ({len(experiments):,})")
    names: list[tuple[str, Side]] = [("workspace", "left")] if several else []
    names += [("id", "right"), ("name", "left"), ("stage", "left"), ("runs", "right")]
    names += [("deleted", "right"), ("models", "right"), ("traces", "right")]
    rows: list[list[Cell]] = [
        [
            *([e.workspace] if several else []),
            str(e.id),
            e.name,
            e.lifecycle_stage,
            *map(number, (e.runs, e.deleted_runs, e.logged_models, e.traces)),
        ]
        for e in experiments
    ]
    if rows:
        yield columns(names, rows)


def _models(title: str, models: list[ModelInfo], *, several: bool) -> Iterator[RenderableType]:
    if not models:
        return
    yield Text()
    yield heading(f"{title} ({len(models):,})")
    names: list[tuple[str, Side]] = [("workspace", "left")] if several else []
    names += [("name", "left"), ("version", "right"), ("stage", "left"), ("aliases", "left")]
    names += [("status", "left"), ("run", "left")]
    yield columns(names, (row for model in models for row in _versions(model, several=several)))


def _versions(model: ModelInfo, *, several: bool) -> Iterator[tuple[str | Text, ...]]:
    first = ([model.workspace] if several else []) + [model.name]
    if not model.versions:
        yield (*first, Text("-", style="dim"), "", "", "", "")
    for version in model.versions:
        stage = "" if version.stage in {None, "None"} else version.stage
        aliases = ", ".join(version.aliases)
        status, run = version.status or "", version.run_id or ""
        yield (*first, str(version.version), stage, aliases, status, run)
        first = [""] * len(first)


def _orphans(orphans: Orphans) -> Iterator[RenderableType]:
    if not orphans.files:
        return
    yield Text()
    yield heading(f"Files that no row points to ({orphans.files:,})")
    shown = orphans.first[:_ORPHANS_SHOWN]
    rows = [(found.folder, number(found.files), human_bytes(found.bytes)) for found in shown]
    yield columns([("folder", "left"), ("files", "right"), ("size", "right")], rows)
    if orphans.folders > len(shown):
        more = plural(orphans.folders - len(shown), "more folder")
        yield Text(f"  {more}: --json names {len(orphans.first):,}", style="dim")


def _rows(inventory: Inventory) -> Iterator[RenderableType]:
    shown = [table for table in inventory.tables if table.rows]
    yield Text()
    yield heading(f"Rows ({sum(table.rows for table in shown):,})")
    rows = [(t.name, number(t.rows), Text(_KINDS.get(t.kind, ""), style="dim")) for t in shown]
    if rows:
        yield columns([("table", "left"), ("rows", "right"), ("", "left")], rows)
    empty = len(inventory.tables) - len(shown)
    if empty:
        yield Text(f"  {plural(empty, 'other table')} empty", style="dim")


def render_checks(report: DoctorReport) -> Iterator[RenderableType]:
    """A line for each check, and what to do about those that failed."""
    good, bad = Text("ok", style="green"), Text("!!", style="bold red")
    rows = [(good if check.ok else bad, check.name, check.value) for check in report.checks]
    yield columns([("", "left"), ("check", "left"), ("found", "left")], rows, indent=0)
    failed = [check for check in report.checks if not check.ok]
    if failed:
        yield Text()
        yield facts((check.name, check.hint or "") for check in failed)
