"""What MLflow's REST API did not show, for the manifest: a backup must not claim to be more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlporter.catalogue.rest_limits import HIDDEN_COLUMNS, HIDDEN_ROWS, HIDDEN_TABLES
from mlporter.errors import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["not_shown"]

_SAYS = "MLflow's REST API does not show"


def not_shown(reader: TableReader) -> Iterator[LeftOut]:
    """An entry for each table of which something is hidden, and for each version that is missing.

    Numbers of versions are never given out twice, so a gap is a version that was deleted; what was
    deleted after the last one cannot be told.
    """
    for table, columns in HIDDEN_COLUMNS.items():
        for column in columns:
            yield LeftOut("column", table, column, "hidden", f"{_SAYS} it", expected=True)
    for table, why in HIDDEN_TABLES.items():
        yield LeftOut("table", table, "", "hidden", f"{_SAYS} it: {why}", expected=True)
    there = {table.name for table in reader.tables}
    for table in HIDDEN_ROWS:
        if table not in there:
            continue
        yield LeftOut("table", table, "", "hidden", f"{_SAYS} deleted ones", expected=True)
    for name, number in _gaps(reader):
        sentence = f"it was deleted, and {_SAYS} deleted versions"
        yield LeftOut("model_version", f"{name}/{number}", "", "hidden", sentence, expected=True)


def _gaps(reader: TableReader) -> Iterator[tuple[str, int]]:
    last: tuple[str, int] = ("", 0)
    for batch in reader.read("model_versions", ("workspace", "name", "version")):
        for row in batch.to_pylist():
            name = f"{row['workspace']}/{row['name']}"
            before = last[1] if last[0] == name else 0
            yield from ((name, number) for number in range(before + 1, row["version"]))
            last = (name, row["version"])
