"""docs/old-versions.md says what is read of each MLflow; its table is made from the code's own.

After a change: MLPORTER_UPDATE_DOCS=1 pytest -n 0 tests/docs/test_old_versions.py
"""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

from mlporter.catalogue.revisions import HEAD_REVISION, REVISIONS
from mlporter.stores.database.history.changes import CHANGES

PAGE = Path(__file__).parents[2] / "docs" / "old-versions.md"
TABLE = re.compile(r"(?ms)^\| MLflow \| newest revision \|.*?\n\n")


def table():
    """A line a release that changed the schema: what an older database has not."""
    changes = {change.revision: change for change in CHANGES}
    head = [revision for revision, _ in REVISIONS].index(HEAD_REVISION)
    lines = ["| MLflow | newest revision | new tables | new columns, with what older rows get |\n"]
    lines.append("|---|---|---|---|\n")
    for release, group in groupby(REVISIONS[: head + 1], key=lambda entry: entry[1]):
        revisions = [revision for revision, _ in group]
        known = [changes[revision] for revision in revisions if revision in changes]
        tables = [f"`{name}`" for change in known for name in change.tables]
        columns = [
            f"`{name}`: {', '.join(described(new))}"
            for change in known
            for name, new in change.columns.items()
        ]
        cells = [release, f"`{revisions[-1]}`", ", ".join(tables) or "-", "; ".join(columns) or "-"]
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines) + "\n"


def described(new):
    for column, value in new.items():
        yield f"`{column}`" if value == "NULL" else f"`{column}` = {value}"


def test_the_table_is_what_the_code_does():
    text = PAGE.read_text(encoding="utf-8")
    if "MLPORTER_UPDATE_DOCS" in os.environ:
        text = TABLE.sub(lambda _: table(), text)
        PAGE.write_text(text, encoding="utf-8")
    found = TABLE.search(text)
    assert found
    assert found[0] == table()
