"""Collecting what is left out, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.tables.own import LEFT_OUT
from mlporter.errors import LeftOut
from mlporter.execute.findings.dangling import WithoutDangling
from mlporter.execute.findings.new_columns import WithoutNewColumns
from mlporter.execute.result import LEFT_OUT_SHOWN, LeftOutSummary
from mlporter.selection.selected_source import SelectedSource
from mlporter.stores.protocols import Wrapped
from mlporter.stores.views.without_secrets import WithoutSecrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Source

__all__ = ["LeftOutCollector", "left_out_of"]


class LeftOutCollector:
    """Counts everything that is left out, and keeps the first by name."""

    def __init__(self) -> None:
        self._first: list[LeftOut] = []
        self._total = 0
        self._unexpected = 0

    def add(self, item: LeftOut) -> None:
        """One more. Unexpected ones are kept before those that are the rule."""
        self._total += 1
        self._unexpected += not item.expected
        if len(self._first) < LEFT_OUT_SHOWN:
            self._first.append(item)
        elif not item.expected and self._first[-1].expected:
            self._first[-1] = item

    def summary(self) -> LeftOutSummary:
        """Totals and the first by name, unexpected ones first."""
        first = sorted(self._first, key=lambda item: item.expected)
        return LeftOutSummary(self._total, self._unexpected, tuple(first))


def left_out_of(source: Source) -> Iterator[LeftOut]:
    """What the source does not give: an entry for each of `Source.losses` and each secret column.

    For each secret column of kept tables there is an entry. Of a bundle whose secrets are asked
    for: those that the export left out. Of a selection also what it left outside.
    """
    yield from source.losses()
    while isinstance(source, (WithoutDangling, WithoutNewColumns)):
        source = source.inner
    if isinstance(source, SelectedSource):
        yield from source.left_out
        source = source.inside_out
    if isinstance(source, WithoutSecrets):
        yield from source.left_out()
    elif source.description.kind == "bundle" and not _hides_secrets(source):
        for batch in source.read(LEFT_OUT.name):
            for row in batch.to_pylist():
                if row["reason"] == "secret":
                    yield LeftOut(**{**row, "detail": f"{row['detail']}, by the export"})


def _hides_secrets(source: Source) -> bool:
    """Whether secrets are not asked for, however many other views there are of the source."""
    while isinstance(source, (Wrapped, SelectedSource)):
        if isinstance(source, WithoutSecrets):
            return True
        source = source.inner
    return False
