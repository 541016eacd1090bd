"""What pages have in common: tags, signatures, charts of curves, tables of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.reports.chart import line_chart
from mlporter.reports.page import Cell, table
from mlporter.reports.texts import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlporter.reports.chart import Chart
    from mlporter.reports.page import Block, Table
    from mlporter.reports.reading.contents import Tags
    from mlporter.reports.reading.curves import Curve
    from mlporter.reports.reading.signature import SignatureField

__all__ = ["chart_of", "kept", "signature_table", "tag_table"]


def kept(*blocks: Block | None) -> tuple[Block, ...]:
    """The blocks that say something."""
    return tuple(block for block in blocks if block is not None and getattr(block, "items", True))


def tag_table(tags: Tags | None, caption: str = "Tags") -> Table | None:
    """Keys and values."""
    if tags is None:
        return None
    rows = ((Cell(cut(key)), Cell(value)) for key, value in tags.first)
    return table(caption, ["Tag", "Value"], rows, "tags", total=tags.total)


def signature_table(fields: Sequence[SignatureField], caption: str) -> Table | None:
    """What goes in and what comes out."""
    rows = (
        (one.part, Cell(cut(one.name)), Cell(cut(one.type), is_code=True), _needed(one))
        for one in fields
    )
    return table(caption, ["Part", "Name", "Type", "Needed"], rows, "fields", most=100)


def _needed(field: SignatureField) -> str:
    if field.part == "outputs":
        return ""
    return "yes" if field.is_needed else "no"


def chart_of(
    id_: str, metric: str, series: Iterable[tuple[str, Curve]], *, least: int = 2
) -> Chart | None:
    """A chart of a metric; None where no curve has as many points."""
    curves = list(series)
    if max((curve.count for _, curve in curves), default=0) < least:
        return None
    drawn = [(cut(name, 60), curve.drawn(), curve.count, curve.odd) for name, curve in curves]
    return line_chart(id_, cut(metric, 120), drawn)
