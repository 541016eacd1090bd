"""What changes of what a target has, and what stays as it is there: a line for each thing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlporter.cli.render.layout import BRIEF, heading
from mlporter.cli.render.text import cut_middle, iso_time, visible
from mlporter.plan.three_sides.actions import FOLLOW, ActionKind
from mlporter.wording import thing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.execute.result import Result
    from mlporter.plan.three_sides.actions import Action, Change

__all__ = ["Told", "render_actions", "render_listed", "told_of"]

_NAMED = 8
"""How many things are named, of what changes and of what stays."""
_WIDEST = 34
_LONGEST_VALUE = 60

_ID = re.compile(r"\b((?:m-|tr-)?[0-9a-f]{12})[0-9a-f]{20}\b")
_ROWS = re.compile(r"^(?:registered_model|model_version|logged_model|experiment|trace)_(?=\w+\.)")
_ALONG = re.compile(r" \((?:timestamp|step|is_nan)\)$")
"""How parts of a last metric end that go along with its value."""
_NOWHERE_ELSE = ("it is only in the target", "it is gone from the source")
"""How reasons begin that say already that the source has none."""
_CHANGES = (ActionKind.UPDATE, ActionKind.MOVE, ActionKind.DELETE)
_STAY = (ActionKind.KEEP, ActionKind.CONFLICT)
"""What stays as the target has it."""


def render_actions(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What changes of what the target has, and what stays as it is there though it differs."""
    first, total = result.actions.first, result.actions.total
    # What is made anew is only counted, but for what somebody removed and gets back.
    put_back = [action for action in first if action.kind is ActionKind.CREATE]
    changed = [*put_back, *(action for action in first if action.kind in _CHANGES)]
    will = "Would change" if result.dry_run else "Changed"
    count = len(put_back) + total(*_words(_CHANGES))
    yield from render_listed(f"{will} at the target", changed, count, view=view)
    kept = [action for action in first if action.kind is ActionKind.KEEP]
    yield from render_listed("Kept as it is at the target", kept, total("keep"), view=view)


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
    title: str,
    actions: Sequence[Action],
    total: int,
    most: int | None = None,
    *,
    view: View = BRIEF,
) -> Iterator[RenderableType]:
    """A line for each of some actions, those of one kind and for one reason together.

    Args:
        title: What they are.
        actions: The first of them.
        total: How many there are.
        most: How many to name; None for what people want to see.
        view: What that is.
    """
    room, named = view.named(_NAMED) if most is None else most, 0
    if not total:
        return
    groups = _grouped(actions)
    names = [one.name for things in groups.values() for one in things]
    width = min(max(map(len, names[:room]), default=0), _WIDEST)
    yield Text()
    yield heading(f"{title}: {total:,}")
    for (said, why), things in groups.items():
        some = things[:room]
        if some:
            yield Text(f"  {visible(said)}", style="dim")
            yield _lines(some, why, width, view)
        room -= len(some)
        named += sum(one.count for one in some)
    if total > named:
        yield Text(f"  …and {total - named:,} more; --json names the first 1,000")


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
        for one in things:
            yield Told(said, one.name, tuple(_changes(one, why, BRIEF)), one.count)


def _grouped(actions: Sequence[Action]) -> dict[tuple[str, str], list[_Thing]]:
    """Things by what is done to them, or why they stay; in the order of the actions."""
    found: dict[tuple[str, str], dict[tuple[str, str], _Thing]] = {}
    for action in sorted(actions, key=lambda each: list(ActionKind).index(each.kind)):
        things = found.setdefault((_said(action), action.why), {})
        one = things.setdefault(
            (action.unit, action.id), _Thing(_name(action), action.unit, action.kind)
        )
        one.changes += [*action.changes] if action.kind is not ActionKind.DELETE else []
        one.count += 1
    return {key: list(things.values()) for key, things in found.items()}


def _said(action: Action) -> str:
    if action.kind is ActionKind.KEEP:
        return action.why
    return f"{action.kind.value}: {action.why}" if action.why else action.kind.value


def _lines(things: Sequence[_Thing], why: str, width: int, view: View) -> Padding:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for one in things:
        name = cut_middle(visible(one.name), width)
        grid.add_row(Text(name), Text(visible(", ".join(_changes(one, why, view)))))
    return Padding(grid, (0, 0, 0, 4))


def _changes(one: _Thing, why: str, view: View) -> Iterator[str]:
    said = (_change(change, one, why, view) for change in _telling(one.changes))
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


def _change(change: Change, owner: _Thing, why: str, view: View) -> str:
    """A field, what it is in the target, and what it gets; or of what stays, the source's."""
    old, new, sent = (
        _value(change.field, value, view) for value in (change.old, change.new, change.sent)
    )
    if change.field == owner.unit:  # the thing itself, of which an alias has only a version
        is_alias = owner.unit.endswith("_aliases")
        return f"version {old if change.new is None else new}" if is_alias else ""
    said = _ROWS.sub("", change.field)
    if why.startswith(_NOWHERE_ELSE) and change.new is None:
        return f"{said}: {old}"
    is_new = owner.kind is ActionKind.CREATE or new.startswith("+")
    if change.old is None and is_new:
        return f"{said}: {new}"
    last = f"last sent: {sent}" if change.is_third else ""
    if owner.kind in _STAY:
        return f"{said}: {old} ({', '.join(filter(None, (f'source: {new}', last)))})"
    return f"{said}: {old} → {new}" + (f" ({last})" if last else "")


def _value(name: str, value: object, view: View) -> str:
    if value is None:
        return "nothing"
    time = None if view.epoch else iso_time(name, value)
    return cut_middle(time or str(value), _LONGEST_VALUE)


def _name(action: Action) -> str:
    """What it is called: ids are cut."""
    return thing(action.unit, _ID.sub(r"\1…", action.id))
