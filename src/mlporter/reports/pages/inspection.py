"""The report of `inspect`: what a place holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from mlporter.reports import limits
from mlporter.reports.chart import short_number
from mlporter.reports.page import (
    Block,
    Card,
    Cell,
    Charts,
    Facts,
    Notes,
    Page,
    Paragraph,
    Section,
    Share,
    Tile,
    Verdict,
    limited,
    table,
)
from mlporter.reports.pages.parts import chart_of, kept, signature_table, tag_table
from mlporter.reports.reading.contents import Tags
from mlporter.reports.texts import cut, duration_text, in_words, time_text
from mlporter.wording import human_bytes, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlporter.reports.chart import Chart
    from mlporter.reports.page import Row, Tone
    from mlporter.reports.reading.contents import Contents, RunInfo
    from mlporter.verbs.reading.inspect import ExperimentInfo, Inventory, ModelInfo, VersionInfo

__all__ = ["inspection_page", "shown_experiments", "shown_models", "shown_versions"]

_TONES: dict[str, Tone] = {"FINISHED": "good", "FAILED": "bad", "KILLED": "bad"}
_OPEN = 3
"""Models that are open when the page is."""
_OTHERS = {
    "model_version": "model versions with files of their own",
    "skill_version": "skills",
    "orphan": "files that no row points to",
    "other": "tables that are not in the catalogue",
}


def shown_experiments(inventory: Inventory) -> tuple[ExperimentInfo, ...]:
    """The experiments that the report names: those with the most runs."""
    ranked = sorted(inventory.experiments, key=lambda one: -(one.runs + one.deleted_runs))
    return tuple(ranked[: limits.EXPERIMENTS])


def shown_models(inventory: Inventory) -> tuple[ModelInfo, ...]:
    """The registered models and prompts that the report names."""
    models = sorted(inventory.models, key=lambda one: one.is_prompt)
    return tuple(models[: limits.MODELS])


def shown_versions(model: ModelInfo) -> tuple[VersionInfo, ...]:
    """The versions of a model that the report names, newest first; what an alias names is one."""
    newest = model.versions[: -limits.VERSIONS - 1 : -1]
    named = [one for one in model.versions if one.aliases and one not in newest]
    return (*newest, *named[-limits.VERSIONS :])


def inspection_page(inventory: Inventory, contents: Contents) -> Page:
    """The report."""
    return Page(
        "inspect",
        "What is in it",
        _verdict(inventory, contents),
        (("Place", inventory.address),),
        tuple(_tiles(inventory, contents)),
        (
            Section("experiments", "Experiments", kept(*_experiments(inventory, contents))),
            Section("models", "Registered models and prompts", kept(*_models(inventory, contents))),
            Section("curves", "Metric curves", kept(*_curves(inventory, contents))),
            Section("runs", "Runs", kept(*_runs(inventory, contents))),
            Section("missing", "What is not in it", kept(*_missing(inventory, contents))),
            Section("place", "The place", kept(Facts(tuple(_facts(inventory))))),
            Section("tables", "Tables", kept(*_tables(inventory))),
        ),
    )


def _runs_of(inventory: Inventory) -> tuple[int, int]:
    experiments = inventory.experiments
    return sum(one.runs for one in experiments), sum(one.deleted_runs for one in experiments)


def _models_and_prompts(inventory: Inventory) -> tuple[list[ModelInfo], list[ModelInfo]]:
    models = [model for model in inventory.models if not model.is_prompt]
    return models, [model for model in inventory.models if model.is_prompt]


def _versions_of(models: Sequence[ModelInfo]) -> int:
    return sum(len(model.versions) for model in models)


def _verdict(inventory: Inventory, contents: Contents) -> Verdict:
    models, _ = _models_and_prompts(inventory)
    counts = [
        (len(inventory.experiments), "experiment"),
        (sum(_runs_of(inventory)), "run"),
        (len(models), "registered model"),
        (_versions_of(models), "version"),
    ]
    said = in_words(counts)
    lost = sum(not one.expected for one in inventory.losses) + contents.sizes.unlisted
    if lost:
        more = f"{plural(lost, 'thing')} could not be read; see below."
        return Verdict(f"It holds {said}.", "warn", more)
    return Verdict(f"It holds {said}.")


def _tiles(inventory: Inventory, contents: Contents) -> Iterator[Tile]:
    active, deleted = _runs_of(inventory)
    models, prompts = _models_and_prompts(inventory)
    yield Tile(f"{len(inventory.experiments):,}", "experiments")
    gone = f", {deleted:,} of them deleted" if deleted else ""
    yield Tile(f"{active + deleted:,}", f"runs{gone}")
    yield Tile(f"{len(models):,}", "registered models")
    yield Tile(f"{_versions_of(models):,}", "versions")
    if prompts:
        yield Tile(f"{len(prompts):,}", f"prompts with {plural(_versions_of(prompts), 'version')}")
    for count, name in (
        (sum(one.logged_models for one in inventory.experiments), "logged models"),
        (sum(one.traces for one in inventory.experiments), "traces"),
    ):
        if count:
            yield Tile(f"{count:,}", name)
    total = contents.sizes.total
    yield Tile(human_bytes(total.bytes), f"in {plural(total.files, 'file')}")


def _experiments(inventory: Inventory, contents: Contents) -> Iterator[Block | None]:
    shown = shown_experiments(inventory)
    sizes = contents.sizes
    most = max([1, *(size.bytes for size in sizes.experiments.values())])
    several = len(inventory.workspaces) > 1

    def row(one: ExperimentInfo) -> Row:
        size = sizes.experiments.get(one.id)
        held = size.bytes if size else 0
        return (
            Cell(cut(one.name)),
            *((one.workspace,) if several else ()),
            one.lifecycle_stage,
            one.runs,
            one.deleted_runs,
            one.logged_models,
            one.traces,
            size.files if size else 0,
            Share(human_bytes(held), held / most),
        )

    names = ["Name", *(["Workspace"] if several else []), "Stage!", "Runs#", "Deleted#"]
    yield table(
        "Experiments and their sizes",
        [*names, "Models#", "Traces#", "Files#", "Size"],
        map(row, shown),
        "experiments",
        total=len(inventory.experiments),
    )
    others = [
        (_OTHERS.get(kind, kind), size.files, human_bytes(size.bytes))
        for kind, size in sizes.others.items()
    ]
    yield table("Files of no experiment", ["Whose", "Files#", "Size#"], others, "kinds")
    rows = [
        (Cell(cut(one.name)), Cell(cut(key)), Cell(value))
        for one in shown
        for key, value in contents.experiment_tags.get(one.id, Tags()).first
    ]
    tags = table(
        "Tags of experiments",
        ["Experiment", "Tag", "Value"],
        rows,
        "tags",
        total=sum(one.total for one in contents.experiment_tags.values()),
    )
    if tags is not None:
        yield Card("Tags of experiments", (tags,), plural(tags.total, "tag"))


def _models(inventory: Inventory, contents: Contents) -> Iterator[Block | None]:
    shown = shown_models(inventory)
    for at, model in enumerate(shown):
        key = (model.workspace, model.name)
        number, fields = contents.signatures.get(key, (0, ()))
        what = "prompt" if model.is_prompt else "model"
        facts = [("Description", contents.descriptions.get(key, ""))]
        facts.append(
            ("Aliases", ", ".join(f"@{a} → version {v}" for a, v in model.aliases.items()))
        )
        yield Card(
            cut(model.name),
            kept(
                Facts(tuple(fact for fact in facts if fact[1])),
                _versions(model, contents),
                signature_table(fields, f"Signature of version {number}"),
                tag_table(contents.model_tags.get(key)),
            ),
            f"{what}, {plural(len(model.versions), 'version')}",
            is_open=at < _OPEN,
        )
    note = limited(len(shown), len(inventory.models), "models and prompts")
    yield Paragraph(note) if note else None


def _versions(model: ModelInfo, contents: Contents) -> Block | None:
    names = {run.id: run.name or run.id for run in contents.runs}

    def row(one: VersionInfo) -> Row:
        stage = "" if one.stage == "None" else one.stage
        aliases = ", ".join(f"@{alias}" for alias in one.aliases)
        tone: Tone = "good" if one.status == "READY" else "warn"
        run = names.get(one.run_id or "", one.run_id or "")
        tags = contents.version_tags.get((model.workspace, model.name, one.version), Tags())
        said = [f"{key}: {value}" for key, value in tags.first]
        if tags.total > len(said):
            said.append(f"and {tags.total - len(said):,} more")
        name = f"Version {one.version}"
        return (
            Cell(name),
            aliases,
            stage,
            Cell(one.status, tone),
            Cell(run),
            Cell("\n".join(said)),
        )

    return table(
        f"Versions of {cut(model.name)}",
        ["Version!", "Aliases", "Stage!", "Status!", "Run", "Tags"],
        map(row, shown_versions(model)),
        "versions",
        total=len(model.versions),
    )


def _curves(inventory: Inventory, contents: Contents) -> Iterator[Block | None]:
    names = {one.id: one.name for one in inventory.experiments}
    runs_of: dict[int, list[RunInfo]] = defaultdict(list)
    for run in contents.runs:
        runs_of[run.experiment].append(run)
    left = limits.CHARTS
    untold = 0
    for experiment, runs in runs_of.items():
        charts = list(_charts_of(experiment, runs, contents))
        untold += max(0, len(charts) - left)
        if charts[:left]:
            yield Card(
                f"Curves of {cut(names.get(experiment, str(experiment)))}",
                (Charts(tuple(charts[:left])),),
                plural(len(charts[:left]), "metric"),
                is_open=left == limits.CHARTS,
            )
        left -= len(charts[:left])
    if untold:
        yield Paragraph(f"{plural(untold, 'more metric')} with curves are not shown.")
    unread = len(contents.histories.unread)
    if unread:
        yield Paragraph(f"{plural(unread, 'run')} had too many points to be read for this page.")


def _charts_of(experiment: int, runs: list[RunInfo], contents: Contents) -> Iterator[Chart]:
    """A chart for each metric with a curve, of the newest runs that have it."""
    curves = contents.histories.curves
    common = Counter(key for run in runs for key, _ in contents.histories.of_run(run.id))
    for at, (key, _) in enumerate(sorted(common.items(), key=lambda one: (-one[1], one[0]))):
        with_it = [run for run in runs if (run.id, key) in curves][: limits.CURVES]
        series = [(run.name or run.id, curves[run.id, key]) for run in with_it]
        chart = chart_of(f"curve-{experiment}-{at}", key, series)
        if chart is not None:
            yield chart


def _runs(inventory: Inventory, contents: Contents) -> Iterator[Block | None]:
    names = {one.id: one.name for one in inventory.experiments}

    def row(run: RunInfo) -> Row:
        status = f"{run.status}, deleted" if run.is_deleted else run.status
        values = (f"{cut(key, 80)} {short_number(value)}" for key, value in run.metrics.items())
        return (
            Cell(run.name or run.id),
            cut(names.get(run.experiment, str(run.experiment))),
            Cell(status, _TONES.get(run.status, "warn")),
            time_text(run.started),
            duration_text(run.started, run.ended),
            ", ".join(values),
            Cell(run.id, is_code=True),
        )

    yield table(
        "The newest runs",
        ["Name", "Experiment", "Status!", "Started!", "Took!", "Metrics", "Id"],
        map(row, contents.runs),
        "runs",
        total=sum(_runs_of(inventory)),
    )


def _missing(inventory: Inventory, contents: Contents) -> Iterator[Block | None]:
    lost = [one for one in inventory.losses if not one.expected]
    lines = [f"{one.kind} {one.id} {one.path}: {one.reason}: {one.detail}" for one in lost]
    if lines:
        yield Notes(tuple(map(cut, lines[: limits.LINES])), len(lines), "things", "bad")
    problems = contents.sizes.problems
    if problems:
        yield Notes(tuple(map(cut, problems)), contents.sizes.unlisted, "things", "bad")
    if inventory.left_out > len(inventory.losses):
        count = plural(inventory.left_out, "thing")
        yield Paragraph(f"Left out when this bundle was written: {count}; see its table left_out.")


def _facts(inventory: Inventory) -> Iterator[tuple[str, str]]:
    yield "Kind", inventory.kind
    if inventory.bundle_id:
        yield "Bundle id", inventory.bundle_id
    if inventory.created:
        yield "Created", inventory.created
    release = f"MLflow {inventory.mlflow_release}, " if inventory.mlflow_release else ""
    yield "Schema", f"{release}revision {inventory.revision}"
    if inventory.stored_revision:
        own = f"MLflow {inventory.stored_release}, revision {inventory.stored_revision}"
        yield "Upgraded from", f"{own} (while it is read; nothing is changed)"
    if inventory.as_found:
        yield "Note", inventory.as_found
    yield "Consistency", inventory.consistency
    yield "Workspaces", cut(", ".join(inventory.workspaces))


def _tables(inventory: Inventory) -> Iterator[Block | None]:
    filled = [one for one in inventory.tables if one.rows]
    rows = table(
        "Rows of each table",
        ["Table", "Kind", "Rows#"],
        ((one.name, one.kind, one.rows) for one in filled),
        "tables",
    )
    if rows is not None:
        count = sum(one.rows for one in filled)
        yield Card("Rows of each table", (rows,), plural(count, "row"))
