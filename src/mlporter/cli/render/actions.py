"""What changes of what a target has, and what stays as it is there: a line for each thing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlporter.cli.render.layout import heading
from mlporter.cli.render.text import visible, words
from mlporter.plan.three_sides.actions import FOLLOW, ActionKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.execute.result import Result
    from mlporter.plan.three_sides.actions import Action, Change

__all__ = ["Told", "render_actions", "render_listed", "singular", "told_of"]

_NAMED = 15
"""How many things are named, of what changes and of what stays."""
_WIDEST = 34
_LONGEST_VALUE = 60

_ID = re.compile(r"\b((?:m-|tr-)?[0-9a-f]{12})[0-9a-f]{20}\b")
_ROWS = re.compile(r"^(?:registered_model|model_version|logged_model|experiment|trace)_(?=\w+\.)")
_ALONG = re.compile(r" \((?:timestamp|step|is_nan)\)$")
"""How parts of a last metric end that go along with its value."""
_NOWHERE_ELSE = ("only the target has it", "the source has it no more")
"""How reasons begin that say already that the source has none."""
_CHANGES = (ActionKind.UPDATE, ActionKind.MOVE, ActionKind.DELETE)
_STAY = (ActionKind.KEEP, ActionKind.CONFLICT)
"""What stays as the target has it."""


def render_actions(result: Result) -> Iterator[RenderableType]:
    """What changes of what the target has, and what stays as it is there though it differs."""
    first, total = result.actions.first, result.actions.total
    # What is made anew is only counted, but for what somebody removed and gets back.
    put_back = [action for action in first if action.kind is ActionKind.CREATE]
    changed = [*put_back, *(action for action in first if action.kind in _CHANGES)]
    will = "Would change" if result.dry_run else "Changed"
    count = len(put_back) + total(*_words(_CHANGES))
    yield from render_listed(f"{will} at the target", changed, count)
    kept = [action for action in first if action.kind is ActionKind.KEEP]
    yield from render_listed("Kept as the target has it", kept, total("keep"))


def _words(kinds: Sequence[ActionKind]) -> tuple[str, ...]:
    return tuple(kind.value for kind in kinds)


@dataclass
class _Thing:
    """Actions on one thing that are of one kind, and have one reason."""

    name: str
    unit: str
    kind: ActionKind
    changes: list[Change] = field(default_factory=list)
    count: int = 0


def render_listed(
    title: str, actions: Sequence[Action], total: int, most: int = _NAMED
) -> Iterator[RenderableType]:
    """A line for each of some actions, those of one kind and for one reason together.

    Args:
        title: What they are.
        actions: The first of them.
        total: How many there are.
        most: How many to name.
    """
    if not total:
        return
    groups = _grouped(actions)
    names = [thing.name for things in groups.values() for thing in things]
    width = min(max(map(len, names[:most]), default=0), _WIDEST)
    yield Text()
    yield heading(f"{title}: {total:,}")
    room, told = most, 0
    for (said, why), things in groups.items():
        some = things[:room]
        if some:
            yield Text(f"  {visible(said)}", style="dim")
            yield _lines(some, why, width)
        room -= len(some)
        told += sum(thing.count for thing in some)
    if total > told:
        yield Text(f"  …and {total - told:,} more; --json names the first 1,000")


@dataclass(frozen=True)
class Told:
    """What is done to one thing, in words.

    Attributes:
        said: What is done, or why it stays.
        name: Which thing it is.
        changes: Its fields, each with what it is and what it gets.
        count: How many actions these are.
    """

    said: str
    name: str
    changes: tuple[str, ...]
    count: int


def told_of(actions: Sequence[Action]) -> Iterator[Told]:
    """What is done to each thing, those of one kind and for one reason together."""
    for (said, why), things in _grouped(actions).items():
        for thing in things:
            yield Told(said, thing.name, tuple(_changes(thing, why)), thing.count)


def _grouped(actions: Sequence[Action]) -> dict[tuple[str, str], list[_Thing]]:
    """Things by what is done to them, or why they stay; in the order of the actions."""
    found: dict[tuple[str, str], dict[tuple[str, str], _Thing]] = {}
    for action in sorted(actions, key=lambda one: list(ActionKind).index(one.kind)):
        things = found.setdefault((_said(action), action.why), {})
        thing = things.setdefault(
            (action.unit, action.id), _Thing(_name(action), action.unit, action.kind)
        )
        thing.changes += [*action.changes] if action.kind is not ActionKind.DELETE else []
        thing.count += 1
    return {key: list(things.values()) for key, things in found.items()}


def _said(action: Action) -> str:
    if action.kind is ActionKind.KEEP:
        return action.why
    return f"{action.kind.value}: {action.why}" if action.why else action.kind.value


def _lines(things: Sequence[_Thing], why: str, width: int) -> Padding:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=width, overflow="fold")
    grid.add_column(overflow="fold")
    for thing in things:
        grid.add_row(Text(visible(thing.name)), Text(visible(", ".join(_changes(thing, why)))))
    return Padding(grid, (0, 0, 0, 4))


def _changes(thing: _Thing, why: str) -> Iterator[str]:
    said = (_change(change, thing, why) for change in _telling(thing.changes))
    return filter(None, said)


def _telling(changes: Sequence[Change]) -> list[Change]:
    """Changes without those that go along with another one and say nothing more."""
    names = {one.field for one in changes}
    follow = FOLLOW if names - FOLLOW else frozenset()
    if "name" in names:
        follow |= {"tags.mlflow.runName"}
    return [
        one
        for one in changes
        if one.field not in follow and _ALONG.sub("", one.field) not in names - {one.field}
    ]


def _change(change: Change, thing: _Thing, why: str) -> str:
    """A field, what it is in the target, and what it gets; or of what stays, the source's."""
    old, new = _value(change.field, change.old), _value(change.field, change.new)
    if change.field == thing.unit:  # the thing itself, of which an alias has only a version
        is_alias = thing.unit.endswith("_aliases")
        return f"version {old if change.new is None else new}" if is_alias else ""
    said = _ROWS.sub("", change.field)
    if why.startswith(_NOWHERE_ELSE) and change.new is None:
        return f"{said}: {old}"
    is_new = thing.kind is ActionKind.CREATE or new.startswith("+")
    if change.old is None and is_new:
        return f"{said}: {new}"
    last = f"last sent: {_value(change.field, change.sent)}" if change.is_third else ""
    if thing.kind in _STAY:
        return f"{said}: {old} ({', '.join(filter(None, (f'source: {new}', last)))})"
    return f"{said}: {old} → {new}" + (f" ({last})" if last else "")


def _value(name: str, value: object) -> str:
    if value is None:
        return "nothing"
    text = _time(name, value) or str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _time(name: str, value: object) -> str:
    """A time in milliseconds since the epoch, as people read it."""
    is_time = name.endswith(("_time", "_timestamp", "_timestamp_ms", "(timestamp)"))
    if not is_time or not isinstance(value, int):
        return ""
    try:
        when = datetime.fromtimestamp(value / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _name(action: Action) -> str:
    """What it is called: ids are cut, and the workspace is named where it is another one."""
    name = action.id
    if "/" in name and action.unit.startswith(("registered_model", "model_version")):
        name = name.removeprefix("default/")
    short = _ID.sub(r"\1…", name)
    return f"{singular(action.unit)} {short}"


def singular(kind: str) -> str:
    """A table of things as one of them: ``registered_models`` is ``registered model``."""
    if kind.endswith("aliases"):
        return "alias"
    return "trace" if kind == "trace_info" else words(kind).removesuffix("s")
