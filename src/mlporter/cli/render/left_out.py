"""What was not copied, and what people should know besides."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from mlporter.cli.render.layout import BRIEF, bullets, heading
from mlporter.cli.render.text import plural, visible
from mlporter.errors import ExitCode
from mlporter.wording import thing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import RenderableType

    from mlporter.cli.render.layout import View
    from mlporter.errors import LeftOut
    from mlporter.execute.result import Result

__all__ = ["first_of_each", "name_left_out", "remarks", "render_left_out", "render_notes"]
__all__ += ["render_remarks"]

_NAMED = 8
_ALIKE = 3
"""How many are named of those that have the same reason."""

_OTHERWISE = frozenset({"renamed", "nested", "duplicate"})
"""Reasons for which something is copied differently from how it is stored; they are shown."""
_NO_NEWS = frozenset({"derived", "transient"})
"""Reasons that say nothing to most people: nobody misses what MLflow makes again by itself."""
_STRUCTURE = frozenset({"table", "column"})
_NOTES = 3
_LONGEST_NOTE = 100


def render_left_out(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What was not copied: what should have been by name, the rest in a line."""
    left_out = result.left_out
    if left_out.unexpected:
        yield Text()
        yield heading(_title(result))
        wanted = [entry for entry in left_out.first if not entry.expected]
        named = first_of_each(
            ((f"{e.kind}:{e.reason}:{e.detail}", name_left_out(e)) for e in wanted), view
        )
        yield bullets((("!", name) for name in named), style="red")
        more = left_out.unexpected - len(named)
        if more:
            yield Text(f"  …and {more:,} more: {_where_all_are(result)}")
    by_rule = [entry for entry in left_out.first if entry.expected]
    yield from render_remarks([e for e in by_rule if e.reason in _OTHERWISE], view)
    total = left_out.total - left_out.unexpected
    yield from _by_rule([e for e in by_rule if e.reason not in _OTHERWISE], total, view)


def _title(result: Result) -> str:
    things = plural(result.left_out.unexpected, "thing")
    return f"Would be left out: {things}" if result.dry_run else f"Left out: {things}"


def first_of_each(lines: Iterable[tuple[str, str]], view: View) -> list[str]:
    """The first lines of each kind of reason: one reason must not hide the others."""
    seen: Counter[str] = Counter()
    chosen: list[str] = []
    for why, line in lines:
        if len(chosen) == view.named(_NAMED):
            break
        seen[why] += 1
        if seen[why] <= view.named(_ALIKE):
            chosen.append(line)
    return chosen


def _by_rule(entries: Sequence[LeftOut], total: int, view: View) -> Iterator[RenderableType]:
    """What is left out on purpose."""
    if view.explain and total:
        yield Text()
        yield heading(f"Left out on purpose: {total:,}")
        named = entries[: view.named(_NAMED) * _ALIKE]
        yield bullets(("-", name_left_out(entry)) for entry in named)
        if total > len(named):
            yield Text(f"  …and {total - len(named):,} more; --json names the first 1,000")
        return
    news = [entry for entry in entries if not _is_no_news(entry)]
    if news:
        names = sorted({_short(entry) for entry in news})
        some = ", ".join(names[:_ALIKE]) + (", …" if len(names) > _ALIKE else "")
        yield Text()
        yield bullets([("left out on purpose:", f"{some} (--explain)")])


def _is_no_news(entry: LeftOut) -> bool:
    hidden = entry.reason == "hidden" and entry.kind in _STRUCTURE
    return entry.reason in _NO_NEWS or hidden


def remarks(entries: Iterable[LeftOut], view: View) -> Iterator[LeftOut]:
    """What was left out on purpose, or copied differently, that people should know."""
    return (one for one in entries if one.expected and (view.explain or not _is_no_news(one)))


def render_remarks(entries: Sequence[LeftOut], view: View) -> Iterator[RenderableType]:
    """What is copied differently from how it is stored, without a loss."""
    named = entries[: view.named(_NAMED)]
    if named:
        yield Text()
        yield bullets(("note:", f"{_named(entry)}: {entry.detail}") for entry in named)
    if len(entries) > len(named):
        yield Text(f"  …and {len(entries) - len(named):,} more (-v)")


def render_notes(result: Result, view: View = BRIEF) -> Iterator[RenderableType]:
    """What people should know besides; of what is refused, only whoever asks."""
    is_refused = result.exit_code is ExitCode.REFUSED
    if not result.notes or (is_refused and not view.explain):
        return
    notes = result.notes if view.explain else result.notes[:_NOTES]
    yield Text()
    yield bullets(("note:", note if view.explain else _brief(note)) for note in notes)
    if len(result.notes) > len(notes):
        yield Text(f"  …and {plural(len(result.notes) - len(notes), 'more note')} (--explain)")


def _brief(note: str) -> str:
    """The first sentence; what a long one lists is for those who ask."""
    if len(note) <= _LONGEST_NOTE:
        return note
    first, dot, rest = note.partition(". ")
    said, _, listed = first.partition(": ")
    if len(first) > _LONGEST_NOTE and listed:
        return f"{said} (--explain)"
    return f"{first}. (--explain)" if dot and rest else note


def _where_all_are(result: Result) -> str:
    if result.verb == "export" and not result.dry_run:
        return f"mlporter show {visible(result.target)} left_out"
    return "-v names more, --json the first 1,000"


def name_left_out(entry: LeftOut) -> str:
    """What was left out, why, and in what words."""
    return f"{_named(entry)}: {entry.reason}" + (f": {entry.detail}" if entry.detail else "")


def _named(entry: LeftOut) -> str:
    whole = entry.path if entry.id in entry.path.split("/") else f"{entry.id}/{entry.path}"
    return thing(entry.kind, whole if entry.path else entry.id)


def _short(entry: LeftOut) -> str:
    return thing(entry.kind, entry.id)
