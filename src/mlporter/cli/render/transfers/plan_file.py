"""A plan file, as people review it: on a terminal, or as Markdown for a pull request."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import bullets, columns, facts, heading, number
from mlporter.cli.render.text import human_bytes, plural, visible, words
from mlporter.cli.render.transfers.actions import render_listed, told_of
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.wording import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Cell, Side
    from mlporter.execute.plan_files import PlanFile

__all__ = ["markdown_plan", "render_plan_file"]

_KINDS = (
    ActionKind.CREATE,
    ActionKind.UPDATE,
    ActionKind.MOVE,
    ActionKind.DELETE,
    ActionKind.KEEP,
    ActionKind.CONFLICT,
    ActionKind.LEAVE_OUT,
)
_TITLES = {
    ActionKind.DELETE: "Would be deleted",
    ActionKind.CONFLICT: "In conflict",
    ActionKind.CREATE: "New",
    ActionKind.UPDATE: "Would be updated",
    ActionKind.MOVE: "Would be moved",
    ActionKind.LEAVE_OUT: "Left out, as the target did not take it before",
    ActionKind.KEEP: "Kept as it is at the target",
}
"""In the order in which they are to be looked at."""

_NAMED = 50
"""How many things of a kind are named, and how many fields of one in Markdown."""

_WORDS = frozenset(kind.value for kind in ActionKind)
_NOT_SAID = frozenset({"model", "workers", "processes", "dask", "retry_time"})
"""Arguments that say how, and not what; and the model, which is in the first line."""

_USUAL: dict[str, object] = {
    "artifacts": "copy",
    "on_conflict": "fail",
    "rename_prefix": "",
    "grace": 3600.0,
}
_USUAL |= {f"keep_{what}": 0 for what in ("last", "hourly", "daily", "weekly", "monthly", "yearly")}
"""What verbs do unless told."""

_TICKS = re.compile(r"`+")


def render_plan_file(plan: PlanFile) -> Iterator[RenderableType]:
    """Summaries first, then what becomes of each thing, then the command that does it."""
    yield heading(f"Plan: {_title(plan)}")
    yield facts(_facts(plan))
    counts = list(_counts(plan))
    if counts:
        yield Text()
        sides: list[tuple[str, Side]] = [("", "left")]
        sides += [(kind.value, "right") for kind in _shown_kinds(plan)]
        rows: list[list[Cell]] = [[words(unit), *map(number, line)] for unit, line in counts]
        yield columns(sides, rows)
    if checks := _checks(plan):
        yield Text()
        yield heading("Gates")
        yield columns(
            (("version", "left"), ("gate", "left"), ("wanted", "left"), ("found", "left")), checks
        )
    for title, lines in _told(plan):
        yield Text()
        yield heading(title)
        yield bullets((("!", line) for line in lines), style="red")
    for kind, title in _TITLES.items():
        actions = [action for action in plan.first if action.kind is kind]
        yield from render_listed(title, actions, plan.total(kind), _NAMED)
    for note in _notes(plan):
        yield Text()
        yield bullets([("note:", note)])
    yield Text()
    yield from _verdict(plan)


def _title(plan: PlanFile) -> str:
    if plan.verb == "promote":
        models = plan.arguments["model"]
        named = [models] if isinstance(models, str) else models
        return f"promote {', '.join(map(str, named))}"
    return plan.verb


def _facts(plan: PlanFile) -> Iterator[tuple[str, str]]:
    yield "from", str(plan.head["source"])
    yield "to", str(plan.head["target"])
    if "made_at" in plan.head:
        yield "made", f"{plan.head['made_at']}, by mlporter {plan.head['mlporter_version']}"
    yield from _asked(plan)
    for one in plan.found:
        if one["artifacts"] == "copy":
            yield "files", f"{plural(one['files'], 'file')}, {human_bytes(one['bytes'])}"
        else:
            yield "files", {"reference": "stay where they are"}.get(one["artifacts"], "left out")


def _asked(plan: PlanFile) -> Iterator[tuple[str, str]]:
    """Arguments beside the two places that are more than what a verb does unless told."""
    for name, value in plan.arguments.items():
        if name in _NOT_SAID:
            continue
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        for key, said in pairs:
            if said is not False and _USUAL.get(name) != said:
                text = ", ".join(map(str, said)) if isinstance(said, list) else str(said)
                yield f"{name}.{key}".rstrip("."), "yes" if said is True else text


def _shown_kinds(plan: PlanFile) -> list[ActionKind]:
    return [kind for kind in _KINDS if plan.total(kind)]


def _counts(plan: PlanFile) -> Iterator[tuple[str, list[int]]]:
    """By unit how many actions are of each kind that there is."""
    kinds = _shown_kinds(plan)
    for unit in dict.fromkeys(unit for unit, kind in sorted(plan.counts) if kind in kinds):
        yield unit, [plan.counts.get((unit, kind), 0) for kind in kinds]


def _checks(plan: PlanFile) -> list[tuple[str, str, str, str]]:
    return [
        (action.id, change.field, str(change.old), str(change.new))
        for action in plan.first
        if action.kind is ActionKind.CHECK
        for change in action.changes
    ]


def _told(plan: PlanFile) -> Iterator[tuple[str, list[str]]]:
    """Why it would be refused, and what would be left out."""
    for name, title in (
        ("conflicts", "Conflicts, for which it would be refused"),
        ("misfits", "Values that do not fit, for which it would be refused"),
        ("unreadable", "Artifacts that cannot be read, for which it would be refused"),
        ("left_out", "Would be left out"),
    ):
        count = sum(one[name] for one in plan.found)
        first = [line for one in plan.found for line in one[f"first_{name}"]]
        if count:
            more = [f"…and {count - len(first):,} more"] if count > len(first) else []
            yield f"{title}: {count:,}", [*first, *more]


def _notes(plan: PlanFile) -> list[str]:
    return [note for one in plan.found for note in one["notes"]]


def _verdict(plan: PlanFile) -> Iterator[Text]:
    if plan.is_refused:
        yield Text("Would be refused (exit 4).", style="bold red")
        return
    if not any(plan.total(kind) for kind in _KINDS if kind is not ActionKind.KEEP):
        yield Text("Nothing to do: all of it is already there.", style="green")
        return
    yield Text.assemble(("Next: ", "bold"), visible(command_line("apply", [plan.path], ())))


# --- Markdown -------------------------------------------------------------------------------------


def markdown_plan(plan: PlanFile) -> str:
    """For a comment on a pull request. All that comes from a registry stands in code spans."""
    return "\n".join(_markdown(plan)) + "\n"


def _markdown(plan: PlanFile) -> Iterator[str]:
    yield f"### Plan: {_code(_title(plan))}"
    yield ""
    yield from _table(("", ""), ((name, _code(value)) for name, value in _facts(plan)))
    counts = list(_counts(plan))
    if counts:
        yield ""
        kinds = [kind.value for kind in _shown_kinds(plan)]
        yield from _table(
            ("", *kinds), ((words(unit), *(f"{n:,}" for n in line)) for unit, line in counts)
        )
    if checks := _checks(plan):
        yield ""
        yield "**Gates**"
        yield ""
        yield from _table(
            ("version", "gate", "wanted", "found"), (map(_code, check) for check in checks)
        )
    for title, lines in _told(plan):
        yield ""
        yield f"**⚠️ {title}**"
        yield ""
        yield from (f"- {_code(line)}" for line in lines)
    for kind, title in _TITLES.items():
        actions = [action for action in plan.first if action.kind is kind]
        yield from _listed(title, actions, plan.total(kind))
    for note in _notes(plan):
        yield ""
        yield f"Note: {_code(note)}"
    yield ""
    if plan.is_refused:
        yield "**Would be refused.**"
    elif not counts:
        yield "Nothing to do: all of it is already there."


def _listed(title: str, actions: list[Action], total: int) -> Iterator[str]:
    if not total:
        return
    yield ""
    yield f"<details open><summary>{title}: {total:,}</summary>"
    yield ""
    told = 0
    for one in islice(told_of(actions), _NAMED):
        told += one.count
        said = "".join(f"<br>{_code(change)}" for change in one.changes[:_NAMED])
        more = len(one.changes) - _NAMED
        said += f"<br>…and {more:,} more" if more > 0 else ""
        why = "" if one.said in _WORDS else f" ({_code(one.said)})"
        yield f"- {_code(one.name)}{why}{said}"
    if total > told:
        yield f"- …and {total - told:,} more"
    yield ""
    yield "</details>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'|'.join('---' for _ in names)}|"
    for row in rows:
        cells = (cell.replace("|", r"\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    """A text in a code span: nothing in it is markup, and nobody is told by an @."""
    shown = visible(text)
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    room = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{room}{shown}{room}{fence}"
