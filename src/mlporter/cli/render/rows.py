"""The rows of a table: fitted to a terminal, or as CSV or JSON, streamed batch by batch."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from rich.cells import cell_len
from rich.text import Text

from mlporter.cli.render.layout import BRIEF, View, columns
from mlporter.cli.render.text import cut_middle, iso_time, plural, visible
from mlporter.compare.report import json_safe
from mlporter.redaction import hide_passwords
from mlporter.verbs.reading.registry import NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from mlporter.cli.render.layout import Side

__all__ = ["Rows", "csv_lines", "json_array", "json_object", "render_rows"]

_CELL = 40
"""The longest cell of a table where there is no end of room, in terminal columns."""

_WIDE_CELL = 35
"""The least that a column gets on a terminal, if it needs it: the id of a trace fits."""

_GAP = 2
_LESS_ASKED_FOR = (
    "_time",
    "timestamp",
    "timestamp_ms",
    "_uri",
    "_location",
    "user_id",
    "source_type",
)
"""Ends of the names of columns that give way to others."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a table.

    Attributes:
        address: Where they are, redacted.
        table: The table's name.
        reader: Batches of them.
        limit: How many to show; None means all.
    """

    address: str
    table: str
    reader: pa.RecordBatchReader
    limit: int | None = None

    @property
    def note(self) -> str | None:
        """What people should know of them."""
        found = (self.reader.schema.metadata or {}).get(NOTE.encode())
        return found.decode() if found else None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches, cut off at the limit, with passwords in URLs hidden."""
        return map(_without_passwords, self._cut())

    def _cut(self) -> Iterator[pa.RecordBatch]:
        left = self.limit
        if left == 0:
            return
        for batch in self.reader:
            if left is None:
                yield batch
                continue
            yield batch.slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                return


def _without_passwords(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        pa.array([v if v is None else hide_passwords(v) for v in array.to_pylist()], array.type)
        if pa.types.is_string(array.type) and _may_hold_password(array)
        else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _may_hold_password(array: pa.Array) -> bool:
    found = pc.any(pc.match_substring_regex(array, "(?s)://.*@"))
    return bool(found.as_py())


def csv_lines(rows: Rows) -> Iterator[bytes]:
    """CSV in UTF-8 with a header: text in quotes, NULL as nothing at all, bytes in hex.

    So an empty text (``""``) and a NULL can be told apart.
    """
    yield (",".join(_header(name) for name in rows.reader.schema.names) + "\n").encode()
    options = pa_csv.WriteOptions(include_header=False)
    for batch in rows.batches():
        buffer = pa.BufferOutputStream()
        pa_csv.write_csv(_without_bytes(batch), buffer, options)
        yield buffer.getvalue().to_pybytes()


def _header(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\r\n') else name


def _without_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [
        pa.array([None if v is None else v.hex() for v in array.to_pylist()], pa.string())
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)
        else array
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def json_array(rows: Rows) -> Iterator[bytes]:
    """A JSON array with an object a row, each on a line of its own."""
    first = True
    for batch in rows.batches():
        for row in batch.to_pylist():
            yield (b"[\n" if first else b",\n") + _json_row(row)
            first = False
    yield b"[]\n" if first else b"\n]\n"


def json_object(rows: Rows, version: int) -> Iterator[bytes]:
    """One JSON object: ``address``, ``table``, ``columns`` and ``rows``, the latter an array."""
    head = {
        "json_version": version,
        "address": rows.address,
        "table": rows.table,
        "columns": rows.reader.schema.names,
    }
    text = json.dumps(head, ensure_ascii=False).removesuffix("}")
    array = json_array(rows)
    last = b""
    for part in chain([text.encode() + b', "rows": '], array):
        yield last
        last = part
    yield last.removesuffix(b"\n") + b"}\n"


def _json_row(row: dict[str, Any]) -> bytes:
    safe = {name: json_safe(value) for name, value in row.items()}
    return json.dumps(safe, ensure_ascii=False, allow_nan=False).encode()


def render_rows(rows: Rows, width: int | None, view: View = BRIEF) -> Iterator[RenderableType]:
    """Rows as a table.

    Args:
        rows: What to show. They are held in memory, so there should be a limit.
        width: Columns of the terminal, or None where there is no end of room: then every column
            is shown. Else those that fit; times, places and columns without any value give way.
        view: Whether times are shown as dates.
    """
    asked = rows.limit
    one_more = replace(rows, limit=None if asked is None else asked + 1)
    table = pa.Table.from_batches(list(one_more.batches()), rows.reader.schema)
    more = asked is not None and table.num_rows > asked
    table = table.slice(0, asked)
    cells = {
        name: [_cell(name, value, view) for value in table[name].to_pylist()]
        for name in table.column_names
    }
    widths = _widths(cells, width)
    body = zip(*([_cut(c, widths[name]) for c in cells[name]] for name in widths), strict=True)
    sides = {field.name: _side(field) for field in table.schema}
    yield columns([(name, sides[name]) for name in widths], body, indent=0)
    yield from _footer(table.num_rows, [name for name in cells if name not in widths], more=more)


def _footer(count: int, hidden: list[str], *, more: bool) -> Iterator[RenderableType]:
    if not count:
        yield Text("no rows", style="dim")
    if hidden:
        names = ", ".join(visible(name) for name in hidden)
        yield Text(f"not shown (--columns, or --format csv|json): {names}", style="dim")
    if more:
        yield Text(f"the first {plural(count, 'row')}; --limit N shows more", style="dim")


def _widths(cells: dict[str, list[Text]], room: int | None) -> dict[str, int]:
    """The columns to show, and how wide each may be."""
    widest = {
        name: max([cell_len(name), *(cell.cell_len for cell in values)])
        for name, values in cells.items()
    }
    if room is None:
        return {name: max(cell_len(name), min(size, _CELL)) for name, size in widest.items()}
    taken: dict[str, int] = {}
    for name in sorted(cells, key=lambda name: _importance(name, cells[name])):
        least = min(widest[name], max(_WIDE_CELL, cell_len(name)))
        if not taken or least <= room:
            taken[name] = min(least, room)
            room -= taken[name] + _GAP
    widened: dict[str, int] = {}
    for name, size in taken.items():
        widened[name] = size + min(widest[name] - size, max(room, 0))
        room -= widened[name] - size
    return {name: widened[name] for name in cells if name in widened}


def _importance(name: str, values: list[Text]) -> int:
    """0 to 2; the sort by it is stable, so keys, which come first, stay first."""
    if not any(cell.plain not in {"", '""'} for cell in values):
        return 2
    return int(name.endswith(_LESS_ASKED_FOR))


def _cell(name: str, value: object, view: View) -> Text:
    if value is None:
        return Text("")
    if value == "":
        return Text('""', style="dim")
    time = None if view.epoch else iso_time(name, value)
    return Text(time or visible(str(json_safe(value))))


def _cut(cell: Text, width: int) -> Text:
    return Text(cut_middle(cell.plain, width), style=cell.style)


def _side(field: pa.Field) -> Side:
    numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return "right" if numeric else "left"
