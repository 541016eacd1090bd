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

__all__ = ["render_actions"]

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


def render_actions(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What changes of what the target has, and what stays as it is there though it differs."""
    first, total = result.actions.first, result.actions.total
    # What is made anew is only counted, but for what somebody removed and gets back.
    put_back = [action for action in first if action.kind is ActionKind.CREATE]
    changed = [*put_back, *(action for action in first if action.kind in _CHANGES)]
    will = "Would change" if result.dry_run else "Changed"
    count = len(put_back) + total(*_words(_CHANGES))
    yield from _listed(f"{will} at the target", changed, count, view)
    kept = [action for action in first if action.kind is ActionKind.KEEP]
    yield from _listed("Kept as it is at the target", kept, total("keep"), view)


def _words(kinds: Sequence[ActionKind]) -> tuple[str, ...]:
    return tuple(kind.value for kind in kinds)


@dataclass
class _Thing:
    """Actions on one thing that are of one kind, and have one reason."""

    name: str
    unit: str
    changes: list[Change] = field(default_factory=list)
    count: int = 0


def _listed(
    title: str, actions: Sequence[Action], total: int, view: View
) -> Iterator[RenderableType]:
    if not total:
        return
    is_kept = all(action.kind is ActionKind.KEEP for action in actions)
    groups = _grouped(actions)
    names = [one.name for things in groups.values() for one in things]
    room, named = view.named(_NAMED), 0
    width = min(max(map(len, names[:room]), default=0), _WIDEST)
    yield Text()
    yield heading(f"{title}: {total:,}")
    for (said, why), things in groups.items():
        some = things[:room]
        if some:
            yield Text(f"  {visible(said)}", style="dim")
            yield _lines(some, why, width, is_kept=is_kept, epoch=view.epoch)
        room -= len(some)
        named += sum(one.count for one in some)
    if total > named:
        yield Text(f"  …and {total - named:,} more; --json names the first 1,000")


def _grouped(actions: Sequence[Action]) -> dict[tuple[str, str], list[_Thing]]:
    """Things by what is done to them, or why they stay; in the order of the actions."""
    found: dict[tuple[str, str], dict[tuple[str, str], _Thing]] = {}
    for action in sorted(actions, key=lambda each: list(ActionKind).index(each.kind)):
        things = found.setdefault((_said(action), action.why), {})
        one = things.setdefault((action.unit, action.id), _Thing(_name(action), action.unit))
        one.changes += [*action.changes] if action.kind is not ActionKind.DELETE else []
        one.count += 1
    return {key: list(things.values()) for key, things in found.items()}


def _said(action: Action) -> str:
    if action.kind is ActionKind.KEEP:
        return action.why
    return f"{action.kind.value}: {action.why}" if action.why else action.kind.value


def _lines(
    things: Sequence[_Thing], why: str, width: int, *, is_kept: bool, epoch: bool
) -> Padding:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for one in things:
        changes = _telling(one.changes)
        said = (_change(c, one.unit, why, is_kept=is_kept, epoch=epoch) for c in changes)
        name = cut_middle(visible(one.name), width)
        grid.add_row(Text(name), Text(visible(", ".join(filter(None, said)))))
    return Padding(grid, (0, 0, 0, 4))


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


def _change(change: Change, unit: str, why: str, *, is_kept: bool, epoch: bool) -> str:
    """A field, what it is in the target, and what it gets; or of what stays, the source's."""
    old, new, sent = (
        _value(change.field, value, epoch=epoch) for value in (change.old, change.new, change.sent)
    )
    if change.field == unit:  # the thing itself, of which an alias has nothing but a version
        is_alias = unit.endswith("_aliases")
        return f"version {old if change.new is None else new}" if is_alias else ""
    said = _ROWS.sub("", change.field)
    if why.startswith(_NOWHERE_ELSE) and change.new is None:
        return f"{said}: {old}"
    if change.old is None and new.startswith("+"):
        return f"{said}: {new}"
    last = f"last sent: {sent}" if change.is_third else ""
    if is_kept:
        return f"{said}: {old} ({', '.join(filter(None, (f'source: {new}', last)))})"
    return f"{said}: {old} → {new}" + (f" ({last})" if last else "")


def _value(name: str, value: object, *, epoch: bool) -> str:
    if value is None:
        return "nothing"
    time = None if epoch else iso_time(name, value)
    return cut_middle(time or str(value), _LONGEST_VALUE)


def _name(action: Action) -> str:
    """What it is called: ids are cut."""
    return thing(action.unit, _ID.sub(r"\1…", action.id))
