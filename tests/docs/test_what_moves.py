"""docs/what-moves.md names every table as the catalogue treats it.

After a change of the catalogue: MLPORTER_UPDATE_DOCS=1 pytest tests/docs -n 0
"""

import os
from pathlib import Path

from mlporter.catalogue import TABLES, USER_TABLES
from mlporter.catalogue.types import Kind, Place, Table

PAGE = Path(__file__).parents[2] / "docs" / "what-moves.md"
_CARRIED = {Kind.KEPT, Kind.USERS}
BEGIN, END = "<!-- tables: made from the catalogue -->\n", "<!-- end of tables -->\n"


def place(entry: Place) -> str:
    if entry.where is None:
        return f"`{entry.column}`"
    return f"`{entry.column}` where `{entry.where[0]}` is `{entry.where[1]}`"


def row(table: Table) -> str:
    notes = [f"place: {place(entry)}" for entry in table.places]
    notes += [f"secret: `{c.name}`" for c in table.columns if c.secret and table.kind in _CARRIED]
    notes += [f"computed by the database: `{c.name}`" for c in table.columns if c.generated]
    key = ", ".join(f"`{name}`" for name in table.key)
    return f"| `{table.name}` | {table.kind.value} | {key} | {'; '.join(notes)} |\n"


def test_the_page_is_what_the_catalogue_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = "| table | treatment | sorted by | notes |\n|---|---|---|---|\n"
    made = head + BEGIN + lines + "".join(row(t) for t in (*TABLES, *USER_TABLES)) + END + tail
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        PAGE.write_text(made, encoding="utf-8")
    assert text == made or "MLPORTER_UPDATE_DOCS" in os.environ
