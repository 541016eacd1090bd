"""What `inspect` says of one experiment or one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, columns, facts, heading
from mlporter.cli.render.left_out import name_left_out
from mlporter.cli.render.text import human_bytes, human_seconds, iso_time, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.verbs.reading.inspect_one import (
        ExperimentDetails,
        ExperimentRuns,
        RunDetails,
        RunInfo,
    )

__all__ = ["render_experiment", "render_run"]

_NAMED = 20
_DEFAULT_TIME = "start_time"


def render_experiment(found: ExperimentDetails, view: View) -> Iterator[RenderableType]:
    """Each experiment: what it is, its tags, its newest runs."""
    for at, one in enumerate(found.experiments):
        if at:
            yield Text()
        yield heading(f"Experiment {one.name} at {found.address}")
        yield facts(_of_experiment(one, view))
        yield from _pairs("Tags", one.tags.items(), view)
        yield from _runs(one, view)


def _of_experiment(one: ExperimentRuns, view: View) -> Iterator[tuple[str, str]]:
    yield "id", str(one.id)
    if one.workspace != "default":
        yield "workspace", one.workspace
    if one.lifecycle_stage != "active":
        yield "stage", one.lifecycle_stage
    if one.creation_time:
        yield "created", _time(one.creation_time, view)
    if one.last_update_time and one.last_update_time != one.creation_time:
        yield "changed", _time(one.last_update_time, view)
    yield "files at", one.artifact_location


def _runs(one: ExperimentRuns, view: View) -> Iterator[RenderableType]:
    deleted = f", and {one.deleted_runs:,} deleted" if one.deleted_runs else ""
    yield Text()
    yield heading(f"{plural(one.runs, 'run')}{deleted}")
    newest = one.newest[: view.named(_NAMED)]
    rows = [(run.id, _second(run, view), _state(run), run.name) for run in newest]
    if rows:
        heads = ("id", "started", "status", "name")
        yield columns([(head, "left") for head in heads], rows, whole=2)
    more = one.runs + one.deleted_runs - len(newest)
    if more:
        yield Text(f"  …and {plural(more, 'older one')} (-v; mlporter show ADDRESS runs)")


def _state(run: RunInfo) -> str:
    return f"{run.status}, deleted" if run.lifecycle_stage == "deleted" else run.status


def _took(run: RunInfo) -> str:
    if run.start_time is None or run.end_time is None:
        return ""
    return human_seconds((run.end_time - run.start_time) / 1000)


def _second(run: RunInfo, view: View) -> str:
    """When it began; parts of a second are for whoever looks at one run."""
    time = run.start_time
    return _time(time if time is None or view.epoch else time // 1000 * 1000, view)


def _time(time: int | None, view: View) -> str:
    if time is None:
        return ""
    return str(time) if view.epoch else iso_time(_DEFAULT_TIME, time) or str(time)


def render_run(found: RunDetails, view: View) -> Iterator[RenderableType]:
    """What it is; parameters, last metrics, tags, files."""
    run = found.run
    yield heading(f"Run {run.name or run.id} at {found.address}")
    yield facts(_of_run(found, view))
    yield from _pairs("Params", found.params.items(), view)
    yield from _metrics(found, view)
    mlflows = {key: value for key, value in found.tags.items() if key.startswith("mlflow.")}
    own = {key: value for key, value in found.tags.items() if key not in mlflows}
    yield from _pairs("Tags", own.items(), view)
    if view.full:
        yield from _pairs("MLflow's tags", mlflows.items(), view)
    elif mlflows:
        yield Text(f"  {plural(len(mlflows), 'tag')} of MLflow's own (-v)", style="dim")
    yield from _files(found, view)


def _of_run(found: RunDetails, view: View) -> Iterator[tuple[str, str]]:
    run = found.run
    yield "id", run.id
    yield "experiment", f"{found.experiment} ({found.experiment_id})"
    yield "status", _state(run)
    if found.user:
        yield "user", found.user
    yield "started", _time(run.start_time, view)
    if run.end_time is not None:
        yield "ended", f"{_time(run.end_time, view)} ({_took(run)})"
    if found.versions:
        yield "versions", ", ".join(found.versions)
    yield "files at", found.artifact_uri


def _pairs(
    title: str, pairs: Iterable[tuple[str, str | None]], view: View
) -> Iterator[RenderableType]:
    """Names and values; long values lose their middle."""
    rows: Sequence[tuple[str, str]] = [(key, value or "") for key, value in pairs]
    if not rows:
        return
    yield Text()
    yield heading(f"{title} ({len(rows):,})")
    shown = rows[: view.named(_NAMED)]
    yield columns([("name", "left"), ("value", "left")], shown)
    yield from _more(len(rows) - len(shown))


def _metrics(found: RunDetails, view: View) -> Iterator[RenderableType]:
    if not found.metrics:
        return
    yield Text()
    yield heading(f"Last metrics ({len(found.metrics):,})")
    shown = found.metrics[: view.named(_NAMED)]
    rows = [
        (m.key, f"{m.value:g}", str(m.step), _time(m.timestamp, view), f"{m.points:,}")
        for m in shown
    ]
    yield columns(
        [
            ("name", "left"),
            ("value", "right"),
            ("step", "right"),
            ("time", "left"),
            ("points", "right"),
        ],
        rows,
    )
    yield from _more(len(found.metrics) - len(shown))


def _files(found: RunDetails, view: View) -> Iterator[RenderableType]:
    yield Text()
    size = f", {human_bytes(found.file_bytes)}" if found.file_count else ""
    yield heading(f"{plural(found.file_count, 'file')}{size}")
    shown = found.files[: view.named(_NAMED)]
    if shown:
        rows = [(file.path, human_bytes(file.size)) for file in shown]
        yield columns([("path", "left"), ("size", "right")], rows)
    yield from _more(found.file_count - len(shown))
    if found.unread:
        names = (name_left_out(entry) for entry in found.unread[: view.named(_NAMED)])
        yield bullets((("!", name) for name in names), style="red")


def _more(count: int) -> Iterator[RenderableType]:
    if count > 0:
        yield Text(f"  …and {count:,} more (-v)", style="dim")
