"""What `inspect` and `doctor` say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from mlporter.cli.render.counts import rows_and_files
from mlporter.cli.render.layout import BRIEF, bullets, columns, facts, heading, number
from mlporter.cli.render.left_out import name_left_out, remarks, render_remarks
from mlporter.cli.render.text import cut_middle, human_bytes, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.execute.files.orphans import Orphans
    from mlporter.verbs.reading.doctor import DoctorReport
    from mlporter.verbs.reading.inspect import ExperimentInfo, Inventory, ModelInfo, VersionInfo

__all__ = ["render_checks", "render_inventory"]

_NAMED = 8
_BRANCHES = 40
_VERSIONS = 8
"""How many versions of a model are named."""
_LONGEST_NAME = 40
_STAGES = {"Production": "green", "Archived": "dim"}

_NOT_COUNTED = {"derived", "transient", "secret"}
"""Kinds of tables that a transfer does not copy as they are."""

_KINDS = {
    "derived": "computed by MLflow: rebuilt, not copied",
    "transient": "temporary: not copied",
    "secret": "secret: left out",
    "unknown": "not in the catalogue",
    "newer": "MLflow's, and newer than the catalogue",
}


def render_inventory(inventory: Inventory, view: View = BRIEF) -> Iterator[RenderableType]:
    """What and where it is; experiments, models and prompts as a tree; the rows of every table."""
    yield heading(inventory.address)
    yield facts(_facts(inventory, view))
    yield Text()
    yield from _trees(inventory, view)
    yield from _orphans(inventory.orphans, view)
    yield from _losses(inventory, view)
    if view.full:
        yield from _rows(inventory)


def _losses(inventory: Inventory, view: View) -> Iterator[RenderableType]:
    lost = [entry for entry in inventory.losses if not entry.expected]
    if lost:
        yield Text()
        yield heading(f"Not readable ({len(lost):,})")
        named = lost[: view.named(_NAMED)]
        yield bullets((("!", name_left_out(entry)) for entry in named), style="red")
        if len(lost) > len(named):
            more = len(lost) - len(named)
            yield Text(f"  …and {more:,} more (-v): --json names the first thousand")
    yield from render_remarks(list(remarks(inventory.losses, view)), view)


def _facts(inventory: Inventory, view: View) -> Iterator[tuple[str, str]]:
    yield "kind", inventory.kind
    if inventory.bundle_id and view.full:
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
    if view.full:
        yield "consistency", inventory.consistency
    if len(inventory.workspaces) > 1 or view.full:
        yield "workspaces", ", ".join(inventory.workspaces)
    yield "holds", _counted(inventory)
    if inventory.orphans.files:
        orphans = inventory.orphans
        size = human_bytes(orphans.bytes)
        folders = plural(orphans.folders, "folder")
        yield "orphans", f"{plural(orphans.files, 'file')} in {folders}, {size}: no row has them"
    if inventory.left_out and (view.explain or inventory.artifacts is None):
        yield "left out", plural(inventory.left_out, "thing")


def _counted(inventory: Inventory) -> str:
    """Rows, as a transfer counts them, and files where they are counted."""
    strange = {"unknown"} if inventory.kind != "bundle" else set()
    left = _NOT_COUNTED | strange
    rows = sum(table.rows for table in inventory.tables if table.kind not in left)
    files = inventory.artifacts
    if files is None:
        return plural(rows, "row")
    mode = "" if files.mode == "copy" else f" (--artifacts {files.mode})"
    return f"{rows_and_files(rows, files.files)}, {human_bytes(files.bytes)}{mode}"


# --- Experiments and models, as a tree -----------------------------------------------------------


def _trees(inventory: Inventory, view: View) -> Iterator[RenderableType]:
    several = len(inventory.workspaces) > 1
    yield _experiments(inventory.experiments, view, several=several)
    for title, are_prompts in (("Registered models", False), ("Prompts", True)):
        models = [model for model in inventory.models if model.is_prompt is are_prompts]
        if models:
            yield _models(title, models, view, several=several)


def _experiments(
    experiments: Sequence[ExperimentInfo], view: View, *, several: bool
) -> RenderableType:
    tree = _tree(f"Experiments ({len(experiments):,})")
    shown = experiments[: view.named(_BRANCHES)]
    for one in shown:
        where = f"{one.workspace}/" if several else ""
        name = Text.assemble(where, (cut_middle(visible(one.name), _LONGEST_NAME), "bold"))
        name.append(f"  id {one.id}", style="dim")
        if one.lifecycle_stage != "active":
            name.append(f"  {one.lifecycle_stage}", style="yellow")
        name.append(f"  {_in_experiment(one)}")
        tree.add(name)
    _add_more(tree, len(experiments) - len(shown))
    return tree


def _in_experiment(one: ExperimentInfo) -> str:
    counts = [plural(one.runs, "run")] if one.runs else []
    counts += [plural(one.deleted_runs, "deleted run")] if one.deleted_runs else []
    counts += [plural(one.logged_models, "logged model")] if one.logged_models else []
    counts += [plural(one.traces, "trace")] if one.traces else []
    return ", ".join(counts) or "empty"


def _models(
    title: str, models: Sequence[ModelInfo], view: View, *, several: bool
) -> RenderableType:
    tree = _tree(f"{title} ({len(models):,})")
    shown = models[: view.named(_BRANCHES)]
    for model in shown:
        where = f"{model.workspace}/" if several else ""
        name = Text.assemble(where, (cut_middle(visible(model.name), _LONGEST_NAME), "bold"))
        name.append(f"  {plural(len(model.versions), 'version')}")
        branch = tree.add(name)
        named = _told_apart(model.versions, view.named(_VERSIONS))
        for version in named:
            branch.add(_version(version, view))
        _add_more(branch, len(model.versions) - len(named))
    _add_more(tree, len(models) - len(shown))
    return tree


def _told_apart(versions: Sequence[VersionInfo], count: int) -> list[VersionInfo]:
    """Those with a stage or an alias, and the newest."""
    if len(versions) <= count:
        return list(versions)
    important = [one for one in versions if one.aliases or one.stage != "None"][-count:]
    newest = [one for one in versions if one not in important][len(important) - count :]
    chosen = {one.version for one in (*important, *(newest if len(important) < count else ()))}
    return [one for one in versions if one.version in chosen]


def _version(one: VersionInfo, view: View) -> Text:
    line = Text(str(one.version))
    if one.stage not in {None, "None"}:
        line.append(f"  {one.stage}", style=_STAGES.get(one.stage, "yellow"))
    for alias in one.aliases:
        line.append(f"  @{visible(alias)}", style="cyan")
    if one.status not in {"READY", ""}:
        line.append(f"  {one.status}", style="red")
    if view.full and one.run_id:
        line.append(f"  run {one.run_id}", style="dim")
    return line


def _tree(title: str) -> Tree:
    return Tree(heading(title), guide_style="dim")


def _add_more(tree: Tree, count: int) -> None:
    if count > 0:
        tree.add(Text(f"…and {count:,} more (-v)", style="dim"))


# --- Files and rows ------------------------------------------------------------------------------


def _orphans(orphans: Orphans, view: View) -> Iterator[RenderableType]:
    if not orphans.files:
        return
    yield Text()
    yield heading(f"Files that no row points to ({orphans.files:,})")
    shown = orphans.first[: view.named(_NAMED)]
    rows = [(found.folder, number(found.files), human_bytes(found.bytes)) for found in shown]
    yield columns([("folder", "left"), ("files", "right"), ("size", "right")], rows)
    if orphans.folders > len(shown):
        more = plural(orphans.folders - len(shown), "more folder")
        yield Text(f"  {more}: --json names {len(orphans.first):,}", style="dim")


def _rows(inventory: Inventory) -> Iterator[RenderableType]:
    shown = [table for table in inventory.tables if table.rows]
    yield Text()
    yield heading("Rows by table")
    rows = [(t.name, number(t.rows), Text(_KINDS.get(t.kind, ""), style="dim")) for t in shown]
    if rows:
        yield columns([("table", "left"), ("rows", "right"), ("", "left")], rows)
    empty = len(inventory.tables) - len(shown)
    if empty:
        yield Text(f"  {plural(empty, 'other table')} empty", style="dim")


_LONGEST_CHECK = 44
"""Columns of the name of a check, which may be an address: what was found needs room as well."""


def render_checks(report: DoctorReport, *, failed: bool = False) -> Iterator[RenderableType]:
    """A line for each check, or for each that failed, and what to do about those."""
    good, bad = Text("ok", style="green"), Text("!!", style="bold red")
    shown = [check for check in report.checks if not (failed and check.ok)]
    rows = [(good if check.ok else bad, check.name, check.value) for check in shown]
    if rows:
        # What is found may be a sentence, which wraps; a name would lose its middle.
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold dim")
        for head in ("", "check"):
            table.add_column(head, no_wrap=True)
        table.add_column("found", overflow="fold")
        for mark, name, found in rows:
            table.add_row(
                mark, Text(cut_middle(visible(name), _LONGEST_CHECK)), Text(visible(found))
            )
        yield table
    hints = [(check.name, check.hint or "") for check in shown if not check.ok]
    if hints:
        yield Text()
        yield facts(hints)
