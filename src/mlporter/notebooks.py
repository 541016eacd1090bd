"""What a notebook shows of a result: small HTML tables, with everything in them escaped.

Made from the object that ``--json`` prints, so every result has it, and none says more here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mlporter.redaction import hide_passwords
from mlporter.wording import iso_time, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Shown", "as_html", "table"]

_ROWS = 30
_LONGEST = 200
_FOR_PROGRAMS = {"digest", "bundle_id"}
_STYLE = "text-align: left"
_NUMBER = "text-align: right"
# Else MathJax makes formulas of what stands between two dollar signs, with links of their choice.
_PLAIN = "tex2jax_ignore mathjax_ignore"


class Shown:
    """A result that a notebook shows as tables."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self.as_dict())


def as_html(title: str, content: Mapping[str, object]) -> str:
    """An object with texts, numbers, lists and objects in it, as tables.

    What is empty is not shown; of long lists the first entries, and how many more there are.

    >>> as_html("Result", {"verb": "copy", "left_out": {"total": 0, "first": []}}).count("<tr>")
    1
    """
    facts: list[tuple[str, str]] = []
    tables: list[str] = []
    for name, value in _parts(content):
        rows = _rows(name, value)
        if rows is None:
            facts.append((_called(name), str(_cell(name.rpartition(".")[2], value))))
        elif rows:
            tables.append(_listed(_called(name), rows))
    return f'<div class="{_PLAIN}">{table(title, (), facts)}{"".join(tables)}</div>'


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of plain texts and numbers; everything is escaped."""
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    lines = [f"<tr>{head}</tr>"] if head else []
    lines += [f"<tr>{''.join(map(_td, row))}</tr>" for row in rows]
    caption = f'<caption style="{_STYLE}"><b>{_text(title)}</b></caption>'
    return f'<table class="{_PLAIN}">{caption}{"".join(lines)}</table>'


def _td(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td style="{_NUMBER}">{value:,}</td>'
    return f'<td style="{_STYLE}">{_text(str(value))}</td>'


def _text(text: str) -> str:
    return escape(hide_passwords(visible(text)))


def _parts(content: Mapping[str, object], inside: str = "") -> Iterator[tuple[str, object]]:
    """Everything that is not empty, by its name; lists in objects by ``outer.inner``."""
    for name, value in content.items():
        is_number = isinstance(value, (bool, int, float))
        if name in _FOR_PROGRAMS or not (_is_said(value) or (is_number and not inside)):
            continue
        if not isinstance(value, Mapping) or _is_table(value):
            yield f"{inside}{name}", value
            continue
        said = {key: one for key, one in value.items() if key not in _FOR_PROGRAMS}
        lists = (Mapping, list, tuple)
        plain = {key: one for key, one in said.items() if not isinstance(one, lists)}
        if any(map(_is_said, plain.values())):
            yield f"{inside}{name}", plain
        others = {key: one for key, one in said.items() if key not in plain}
        yield from _parts(others, f"{inside}{name}.")


def _is_table(value: Mapping[str, object]) -> bool:
    """Whether an object has an object of numbers for each of several names."""
    return bool(value) and all(
        isinstance(one, Mapping) and all(isinstance(n, int) for n in one.values())
        for one in value.values()
    )


def _rows(name: str, value: object) -> Sequence[Mapping[str, object]] | None:
    """The rows of what is a table; None of anything else."""
    if isinstance(value, Mapping) and _is_table(value):
        rows = [{"": key, **one} for key, one in value.items()]
    elif isinstance(value, (list, tuple)) and value and all(isinstance(v, Mapping) for v in value):
        rows = list(value)
    else:
        return None
    # Most tables of a registry are empty.
    return [row for row in rows if _counts(row)] if name == "tables" else rows


def _counts(row: Mapping[str, object]) -> bool:
    return any(isinstance(value, int) and value for value in row.values())


def _listed(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    shown = rows[:_ROWS]
    names = dict.fromkeys(name for row in shown for name in row)
    used = [name for name in names if any(_is_said(row.get(name)) for row in shown)]
    cells = [[_cell(name, row.get(name)) for name in used] for row in shown]
    more = f", the first {_ROWS} of {len(rows):,}" if len(rows) > _ROWS else ""
    return table(f"{title}{more}", [_called(name) for name in used], cells)


def _is_said(value: object) -> bool:
    """Whether there is anything in it: no zeros either, in whatever depth."""
    if isinstance(value, Mapping):
        return any(map(_is_said, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_said, value))
    return bool(value)


def _called(name: str) -> str:
    return name.replace("_", " ").replace(".", ", ")


def _cell(name: str, value: object) -> str | int:
    """A value as a text or a number for one cell."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return iso_time(name, value) or int(value)
    text = _in_words(name, value)
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"


def _in_words(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        said = {key: one for key, one in value.items() if _is_said(one)}
        return "; ".join(f"{key}: {_in_words(key, one)}" for key, one in said.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_in_words(name, one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return iso_time(name, value) or f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
